from __future__ import annotations

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


def create_extensions(using, **kwargs):
    connection = connections[using]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS hstore")
        # As HStoreExtension does, for the connection is older than the type.
        from django.contrib.postgres.signals import get_hstore_oids, register_type_handlers

        get_hstore_oids.cache_clear()
        register_type_handlers(connection)


class TestAppConfig(AppConfig):
    name = "testapp"

    def ready(self):
        pre_migrate.connect(create_extensions, sender=self)
