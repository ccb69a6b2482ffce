from __future__ import annotations

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


def create_extensions(using, **kwargs):
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")


class TestAppConfig(AppConfig):
    name = "testapp"

    def ready(self):
        pre_migrate.connect(create_extensions, sender=self)
