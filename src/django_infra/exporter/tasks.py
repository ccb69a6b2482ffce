"""Offer Celery the tasks of the app where it looks for them.

Other queues import this module too, so that Celery may be missing.
"""

from __future__ import annotations

from importlib.util import find_spec

__all__ = []

if find_spec("celery"):
    from django_infra.exporter.runners.celery import (
        prune_exports,
        recover_exports,
        run_export,
    )

    __all__ += ["prune_exports", "recover_exports", "run_export"]
