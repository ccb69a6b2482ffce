"""Settings of the tests; DATABASE_URL chooses the server."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import dj_database_url

if os.environ.get("PSYCOPG") == "2":
    # Django takes psycopg2 only where psycopg 3 cannot be imported.
    sys.modules["psycopg"] = None

try:
    if os.environ.get("MYSQL_CLIENT") == "pymysql":
        raise ImportError
    import MySQLdb  # noqa: F401
except ImportError:
    import pymysql

    pymysql.install_as_MySQLdb()

if "EXPORTER_TEST_DIR" not in os.environ:
    os.environ["EXPORTER_TEST_DIR"] = tempfile.mkdtemp(prefix="exporter-tests-")
SCRATCH = Path(os.environ["EXPORTER_TEST_DIR"])


# Lets two runs use one server at the same time.
RUN = os.environ.get("EXPORTER_TEST_DB_SUFFIX", "")


def make_database(suffix: str) -> dict:
    database = dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite:///exporter"))
    database["TEST"] = {"NAME": f"test_exporter{RUN}{suffix}"}
    if "sqlite" in database["ENGINE"]:
        # A file in WAL mode, so that other connections see what is committed.
        path = str(SCRATCH / f"test_exporter{suffix}.sqlite3")
        database |= {
            "NAME": path,
            "TEST": {"NAME": path},
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
                "timeout": 20,
            },
        }
    return database


DATABASES = {"default": make_database(""), "other": make_database("_other")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "django_infra.exporter",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_tasks_db",
    "guardian",
    "testapp",
]
if "postgresql" in DATABASES["default"]["ENGINE"]:
    INSTALLED_APPS.append("django.contrib.postgres")
# Chosen, so that no check asks for another.
EXPORTER_RUNNER = {"BACKEND": "django_infra.exporter.runners.inline.InlineRunner"}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Its twenty migrations end where its models are.
MIGRATION_MODULES = {"django_tasks_db": None}
MEDIA_ROOT = str(SCRATCH / "media")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
ROOT_URLCONF = "testapp.urls"
SECRET_KEY = "tests"
STATIC_URL = "/static/"
TASKS = {
    "default": {"BACKEND": "django_tasks_db.DatabaseBackend"},
    "exports": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["quick", "slow"]},
}
# django-guardian is for change lists of its users, and leaves the others as they are.
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_GROUP = GUARDIAN_MONKEY_PATCH_USER = False
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
TIME_ZONE = "UTC"
USE_TZ = True
