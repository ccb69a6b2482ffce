"""Export the change lists of a project whose tenants have schemas, by django-tenants itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.db import connections

from exporter.faults.children import get_databases, make_environment

pytestmark = [
    pytest.mark.external,
    pytest.mark.only_on("psycopg"),
    pytest.mark.django_db(transaction=True),
]

HOOK = "tenants.exports.SchemaRequest"
ALL_OF_A = ["name", *(f"a{number:02}" for number in range(20))]
ALL_OF_B = ["name", *(f"b{number:02}" for number in range(20))]


class Project:
    """A process that is called with lines of JSON, as ``tenants.__main__`` reads them."""

    def __init__(self, folder):
        own = get_databases()["default"]
        # The request and the worker are threads with a connection each.
        database = {name: own[name] for name in ("HOST", "PORT", "USER", "PASSWORD")} | {
            "ENGINE": "django_tenants.postgresql_backend",
            "NAME": f"{own['NAME']}_tenants",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tenants"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=make_environment(
                DJANGO_SETTINGS_MODULE="tenants.settings",
                EXPORTER_TENANTS_DATABASE=json.dumps(database),
                EXPORTER_TENANTS_MEDIA=os.fspath(folder),
            ),
        )

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            self.process.stdin.write(json.dumps([name, arguments, keywords]) + "\n")
            self.process.stdin.flush()
            if line := self.process.stdout.readline():
                return json.loads(line)
            raise RuntimeError(self.process.communicate()[1])

        return call


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    try:
        project.prepare()
        yield project
        project.end()
    finally:
        project.process.kill()
        project.process.communicate()
        connections.close_all()


def test_each_tenant_has_its_own_rows(project):
    # In the request.
    small = project.export("a", ticked=["1", "2"])
    assert project.read(small) == ["success", ["name", "a00", "a01"]]
    # In a worker, which has no tenant before and after.
    first, second = project.export("a", hook=HOOK), project.export("b", hook=HOOK)
    assert project.read(first) == ["scheduled", []]
    assert project.work(first, hook=HOOK) == "public"
    assert project.read(first) == ["success", ALL_OF_A]
    assert project.work(second, hook=HOOK) == "public"
    assert project.read(second) == ["success", ALL_OF_B]
    # Without what carries the tenant there is no file.
    third = project.export("a")
    assert project.work(third).startswith("public: ")
    assert project.read(third) == ["fail", []]
    assert "'search_path' of the database session" in project.explain(third)
