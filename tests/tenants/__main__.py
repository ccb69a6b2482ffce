"""Export the change lists of two tenants, and print what has become of it as lines of JSON.

Each line of the input is a call of a function here: its name and its keywords.
"""

from __future__ import annotations

import csv
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import django
import psycopg
from django.conf import settings

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client, override_settings
from django.test.utils import setup_test_environment

from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import QueryExport
from tenants.customers.models import Domain, Tenant
from tenants.shop.models import Order

setup_test_environment()
# One thread is the worker of all jobs: what one leaves, the next one has.
worker = ThreadPoolExecutor(1)


def prepare():
    """Make a database with two tenants, whose orders have the same keys."""
    execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}")
    call_command("migrate_schemas", shared=True, verbosity=0)
    User.objects.create_superuser("boss", password="secret")
    for name in ("a", "b"):
        tenant = Tenant(schema_name=name, name=name)
        tenant.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.example.org", tenant=tenant, is_primary=True)
        connection.set_tenant(tenant)
        Order.objects.bulk_create(Order(name=f"{name}{number:02}") for number in range(20))
        connection.set_schema_to_public()


def export(tenant, *, ticked=None, hook=None):
    """Start an export on the admin's pages; return the message, or what the export is."""
    with override_settings(EXPORTER_ADMIN_REQUEST=hook):
        client = Client(headers={"host": f"{tenant}.example.org"})
        client.force_login(User.objects.get())
        data = {"action": "export_selected", "_selected_action": ticked or ["1"], "index": "0"}
        data |= {} if ticked else {"select_across": "1"}
        page = client.post("/admin/shop/order/", data, follow=True)
        if "form" not in page.context:
            return [str(each) for each in page.context["messages"]]
        form = {"columns": ["name"], "headers": "names", "format": "csv"}
        form |= {"keys": json.dumps(ticked), "is_selection": "1"} if ticked else {}
        answer = client.post(page.context["url"], form)
        assert answer.status_code == 302, answer.content
        return QueryExport.objects.latest("created_at").pk


def work(export_id, *, hook=None):
    """Run the job as a worker does, and return in which schema that leaves it."""

    def run():
        try:
            run_job(export_id)
        except Exception as error:
            return f"{connection.schema_name}: {error}"
        return connection.schema_name

    with override_settings(EXPORTER_ADMIN_REQUEST=hook):
        return worker.submit(run).result()


def read(export_id):
    """Return how the export ended, and its rows."""
    export = QueryExport.objects.get(pk=export_id)
    rows = []
    if export.file:
        with export.file.open() as file:
            rows = [row for (row,) in csv.reader(file.read().decode().splitlines())]
    return [export.state, rows]


def explain(export_id):
    """Return why there is no file."""
    return QueryExport.objects.get(pk=export_id).error_log


def end():
    worker.submit(connections.close_all).result()
    connections.close_all()
    execute("DROP DATABASE {}")


def execute(*statements):
    database = settings.DATABASES["default"]
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    address = {name: database[key] for name, key in names.items() if database[key]}
    with psycopg.connect(dbname="postgres", autocommit=True, **address) as server:
        for statement in statements:
            server.execute(psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(NAME)))


NAME = settings.DATABASES["default"]["NAME"]
FUNCTIONS = {each.__name__: each for each in (prepare, export, work, read, explain, end)}

for line in sys.stdin:
    name, arguments, keywords = json.loads(line)
    print(json.dumps(FUNCTIONS[name](*arguments, **keywords)), flush=True)
