"""Settings of the benchmarks; BENCH_DATABASE_URL chooses the server."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url

FOLDER = Path(os.environ["BENCH_FOLDER"])
# Each size has tables of its own, so that no contender reads a part of a larger one.
BENCH_ROWS = int(os.environ["BENCH_ROWS"])

DATABASES = {"default": dj_database_url.parse(os.environ["BENCH_DATABASE_URL"])}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {"init_command": "PRAGMA journal_mode=WAL"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "django_infra.exporter",
    "shop",
]
MEDIA_ROOT = FOLDER / "files"
SECRET_KEY = "benchmarks"
TIME_ZONE = "UTC"
USE_TZ = True
