from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection

pytest_plugins = ["databases", "outcomes", "selection"]

# One database is enough to know what these say: they are about pages, texts and settings, or
# choose their own database.
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
    "exporter/test_checks.py",
    "exporter/test_command_line.py",
    "exporter/test_conf.py",
    "exporter/test_formats.py",
    "exporter/test_params.py",
    "exporter/test_paths.py",
    "exporter/test_registry.py",
    "exporter/test_s3.py",
    "exporter/views/test_available.py",
    "exporter/views/test_downloads.py",
    "exporter/views/test_permissions.py",
    "exporter/views/test_project.py",
    "exporter/views/test_schema.py",
    "exporter/writers",
    "pages",
    "test_benchmarks.py",
    "test_demo.py",
    "test_docs.py",
    "test_package.py",
]
collect_ignore = [] if connection.vendor == "sqlite" else ONCE


def pytest_report_header(config):
    """Say which server the run is on; its version follows with the first connection."""
    return f"database: {connection.vendor}, {settings.DATABASES['default']['NAME']}"


@pytest.fixture(autouse=True)
def media_root(settings, tmp_path):
    """Give each test a storage folder of its own."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"
