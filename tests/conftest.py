from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

# In this order: databases imports selection.
pytest_plugins = ["selection", "databases", "outcomes"]

# One database is enough for these: they are about pages, texts and settings, or choose their own.
ONCE = [
    "api/serving",
    "api/test_conditional.py",
    "api/test_fields.py",
    "api/test_filenames.py",
    "api/test_files.py",
    "api/test_guide.py",
    "api/test_schema.py",
    "exporter/admin/test_actions.py",
    "exporter/admin/test_change_list_facts.py",
    "exporter/admin/test_detail.py",
    "exporter/admin/test_downloads.py",
    "exporter/admin/test_named_exports.py",
    "exporter/admin/test_permissions.py",
    "exporter/admin/test_progress.py",
    "exporter/admin/test_translation.py",
    "exporter/changelists/test_checks.py",
    "exporter/changelists/test_moments.py",
    "exporter/changelists/test_offers.py",
    "exporter/changelists/test_recipes.py",
    "exporter/changelists/test_shown.py",
    "exporter/changelists/test_queries.py",
    "exporter/management/test_checks.py",
    "exporter/test_access.py",
    "exporter/test_checks.py",
    "exporter/test_command_line.py",
    "exporter/test_conf.py",
    "exporter/writers/test_formats.py",
    "exporter/registry/test_params.py",
    "exporter/delivery/test_paths.py",
    "exporter/registry/test_registry.py",
    "exporter/delivery/test_s3.py",
    "exporter/rest/test_throttling.py",
    "exporter/rest/test_available.py",
    "exporter/rest/test_downloads.py",
    "exporter/rest/test_permissions.py",
    "exporter/rest/test_project.py",
    "exporter/rest/test_schema.py",
    "exporter/writers",
    "pages",
    "test_benchmarks.py",
    "test_demo.py",
    "test_docs.py",
    "test_package.py",
    "test_selection.py",
]
if missing := [path for path in ONCE if not Path(__file__).parent.joinpath(path).exists()]:
    raise FileNotFoundError(f"ONCE names what is not there: {missing}.")
collect_ignore = [] if connection.vendor == "sqlite" else ONCE


def pytest_report_header(config):
    """Say which server the run is on; its version follows with the first connection."""
    return f"database: {connection.vendor}, {settings.DATABASES['default']['NAME']}"


@pytest.fixture(autouse=True)
def media_root(settings, tmp_path):
    """Give each test a storage folder of its own."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"
