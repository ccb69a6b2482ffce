from __future__ import annotations


class ReplicaRouter:
    """Read from the other database, write to the default one."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"


class DefaultOnlyRouter:
    """Migrate the default database alone."""

    def allow_migrate(self, db, app_label, **hints):
        return db == "default"
