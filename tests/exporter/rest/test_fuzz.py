"""Requests that no test thought of, against the live server, each compared with the schema."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.urls import reverse

from django_infra.exporter.models import ExportState, QueryExport
from exporter.rest.rows import make_export, make_file

pytestmark = [
    pytest.mark.external,
    pytest.mark.only_on("postgresql"),
    pytest.mark.django_db(transaction=True),
]

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# Per operation and phase; always the same ones unless more are asked for.
MAX_EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "8")
IS_RANDOM = "FUZZ_EXAMPLES" in os.environ


@pytest.mark.sample(1)
@pytest.mark.parametrize("role", ["anonymous", "user", "staff"])
def test_what_the_schema_says_is_true_of_any_request(
    live_server, tmp_path, django_user_model, permit, other, role
):
    actor = None
    if role != "anonymous":
        actor = django_user_model.objects.create_user("ada", password="x", is_staff=role == "staff")
        permit(actor, "view_author", *(["view_queryexport"] if role == "staff" else []))
    for owner in (actor, other):
        make_file(owner)
        for state in ExportState:
            make_export(owner, state)
    before = set(QueryExport.objects.filter(created_by=other).values_list("pk", "state"))
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION)),
            *("run", live_server.url + reverse("schema"), "--no-color"),
            *("--max-examples", MAX_EXAMPLES),
            # What a session cookie holds is Django's own affair.
            *("--generation-with-security-parameters", "false"),
            *(("--generation-database", "none") if IS_RANDOM else ("--generation-deterministic",)),
            *(() if actor is None else ("--auth", "ada:x")),
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "test cases" in run.stdout.lower()
    # Nobody has changed what is another's.
    assert set(QueryExport.objects.filter(created_by=other).values_list("pk", "state")) == before
