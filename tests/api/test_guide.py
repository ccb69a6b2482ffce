"""What docs/rest-core.md shows is a project that does what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.external

GUIDE = Path(__file__).parents[2] / "docs/rest-core.md"
SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["rest_framework", "drf_spectacular", "shop"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
}
ROOT_URLCONF = "shop.urls"
SECRET_KEY = "guide"
USE_TZ = True
"""
SCRIPT = """
import json, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from shop.models import Customer, Line, Order

setup_test_environment()
call_command("migrate", run_syncdb=True, verbosity=0)
for name in ("Ann", "Bob"):
    customer = Customer.objects.create(name=name, email=f"{name}@example.org")
    for number in range(5):
        state = Order.State.values[number % 3]
        order = Order.objects.create(number=number, state=state, customer=customer, letter="x")
        Line.objects.create(order=order, product="Blue whale", pieces=number)
        Line.objects.create(order=order, product="Whale", pieces=number)
answers = []
for url, headers in json.load(sys.stdin):
    with CaptureQueriesContext(connection, ) as queries:
        response = Client().get(url, headers=headers)
    answers.append({
        "status": response.status_code,
        "data": json.loads(response.content) if response.content else None,
        "queries": [query["sql"] for query in queries],
        "headers": dict(response.headers),
    })
from drf_spectacular.generators import SchemaGenerator
print(json.dumps([answers, SchemaGenerator().get_schema(public=True)]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Write the files that the page names."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "shop").mkdir()
    (folder / "shop/__init__.py").touch()
    for name, code in re.findall(r"```python\n# (shop/\w+\.py)\n(.*?)```", GUIDE.read_text(), re.S):
        (folder / name).write_text(code)
    (folder / "guide_settings.py").write_text(SETTINGS)
    return folder


def ask(project, *requests):
    paths = [str(project), *filter(None, sys.path)]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "guide_settings",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([[url, headers or {}] for url, headers in requests]),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr
    return json.loads(run.stdout)


def test_the_example_does_what_the_page_says(project):
    url = (
        "/orders/?state=open&state=paid&search=ann&ordering=-sent_at"
        "&fields=number,customer(name)&page_size=2"
    )
    requests = [
        url,
        "/orders/?fields=id,title",
        "/orders/?page_size=3",
        "/orders/1/?fields=id,lines(product)",
        "/orders/?number_min=x&search=" + "x" * 201,
        "/orders/?fields=nonsense",
        "/orders/?nonsense=1",
        "/orders/?customer=Bob@example.org&placed_after=2000-01-01T00:00:00Z&number_max=2",
        "/orders/?search=blue%20bob",
    ]
    answers, schema = ask(project, *[(url, None) for url in requests])
    first, titles, page, one, wrong, unknown, other, plain, found = answers

    assert first["data"]["results"] == [
        {"number": 4, "customer": {"name": "Ann"}},
        {"number": 3, "customer": {"name": "Ann"}},
    ]
    assert first["data"]["next"].startswith("http://testserver/orders/?cursor=")
    assert len(first["queries"]) == 1
    assert '"letter"' not in first["queries"][0]
    assert titles["data"]["results"][0]["title"] == "No. 4 for Bob"
    assert len(titles["queries"]) == 1
    assert len(page["data"]["results"]) == 3
    assert len(page["queries"]) == 2
    lines = [{"product": "Blue whale"}, {"product": "Whale"}]
    assert one["data"] == {"id": 1, "lines": lines}
    assert (wrong["status"], set(wrong["data"])) == (400, {"number_min", "search"})
    assert wrong["data"]["number_min"] == ["'x' is not a whole number of 64 bits."]
    assert (unknown["status"], unknown["queries"]) == (400, [])
    assert len(other["data"]["results"]) == 10
    assert [row["number"] for row in plain["data"]["results"]] == [2, 1, 0]
    assert len(found["data"]["results"]) == 5
    assert "required" not in schema["components"]["schemas"]["Order"]
    names = {each["name"] for each in schema["paths"]["/orders/"]["get"]["parameters"]}
    assert {"number_min", "placed_before", "fields", "cursor"} <= names


def test_the_example_answers_with_304(project):
    answers, _ = ask(project, ("/orders/1/?fields=id", None))
    etag = answers[0]["headers"]["ETag"]
    answers, _ = ask(project, ("/orders/1/?fields=id", {"if-none-match": etag}))
    assert (answers[0]["status"], answers[0]["data"]) == (304, None)
