from __future__ import annotations

from datetime import timedelta

import pytest

from django_infra.exporter.conf import conf

DEFAULTS = {
    "storage": "default",
    "formats": {},
    "chunk_size": 500,
    "path_prefix": "exports/",
    "temp_dir": None,
    "escape_formulas": True,
    "fsync": True,
    "lease": 60,
    "runner": {},
    "max_attempts": 3,
    "retry_delay": 5,
    "handover_timeout": 300,
    "max_rows": None,
    "max_file_size": None,
    "max_active_per_user": None,
    "expires_in": None,
    "delete_rows_after": None,
    "admin_max_direct_rows": 1000,
    "admin_related_depth": 2,
    "admin_request": None,
    "session_settings": [],
}

VALUES = {
    "storage": ["exports", "other"],
    "formats": [{"tsv": {}}, {"xlsx": {}}],
    "chunk_size": [1, 100],
    "path_prefix": ["", "a/b/"],
    "temp_dir": ["/var/tmp", None],
    "escape_formulas": [False, True],
    "fsync": [False, True],
    "lease": [2, 90.5],
    "runner": [{"BACKEND": "a.B"}, {"BACKEND": "a.B", "OPTIONS": {"c": 1}}],
    "max_attempts": [1, 5],
    "retry_delay": [0, 0.5],
    "handover_timeout": [1, 3600],
    "max_rows": [1, 10**9],
    "max_file_size": [1, 10**12],
    "max_active_per_user": [1, 3],
    "expires_in": [timedelta(), timedelta(days=7)],
    "delete_rows_after": [timedelta(hours=1), None],
    "admin_max_direct_rows": [0, 10**6],
    "admin_related_depth": [0, 5],
    "admin_request": ["a.B", None],
    "session_settings": [["app.tenant"], ("@tenant",)],
}


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_default(settings, name, default):
    # The tests have some of their own.
    if hasattr(settings, setting := f"EXPORTER_{name.upper()}"):
        delattr(settings, setting)
    assert getattr(conf, name) == default


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_is_read_at_each_access(settings, name):
    setting = f"EXPORTER_{name.upper()}"
    for value in VALUES[name]:
        setattr(settings, setting, value)
        assert getattr(conf, name) == value
    delattr(settings, setting)
    assert getattr(conf, name) == DEFAULTS[name]


def test_every_setting_is_listed_here():
    properties = {name for name in vars(type(conf)) if not name.startswith("_")}
    assert properties == set(DEFAULTS)
