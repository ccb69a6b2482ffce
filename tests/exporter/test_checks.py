from __future__ import annotations

import os
from datetime import timedelta
from functools import partial, update_wrapper, wraps
from pathlib import Path
from types import ModuleType

import pytest
from django.conf.urls.static import static
from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required, permission_required, user_passes_test
from django.core.checks import ERROR, WARNING, run_checks
from django.urls import include, path, re_path
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition
from django.views.static import serve

from django_infra.exporter.writers.csv import CSVWriter

# Checks of other apps ask the database what it can do.
pytestmark = pytest.mark.django_db(databases=["default", "other"])

CSV = "django_infra.exporter.writers.csv.CSVWriter"


class NamedWriter(CSVWriter):
    """A writer that needs an option."""

    def __init__(self, *, name):
        super().__init__()


def find_messages():
    return [message for message in run_checks() if (message.id or "").startswith("exporter.")]


def find_ids():
    return [message.id for message in find_messages()]


def find_message():
    (message,) = find_messages()
    return message


@pytest.fixture
def serve_at(settings):
    """Make a URLconf of the patterns the project's own."""

    def set_patterns(*patterns):
        urls = ModuleType("urls")
        urls.urlpatterns = list(patterns)
        settings.ROOT_URLCONF = urls

    return set_patterns


def test_defaults_pass():
    assert find_messages() == []


def test_checks_are_bound(settings, serve_at, media_root):
    settings.EXPORTER_LEASE = 0
    serve_at(path("media/<path:path>", serve, {"document_root": media_root}))
    assert sorted(find_ids()) == ["exporter.E007", "exporter.W002"]


def test_every_fault_is_told_at_once(settings):
    settings.EXPORTER_STORAGE = "nowhere"
    settings.EXPORTER_FORMATS = []
    settings.EXPORTER_CHUNK_SIZE = 0
    settings.EXPORTER_PATH_PREFIX = "/"
    settings.EXPORTER_TEMP_DIR = "/nowhere"
    settings.EXPORTER_ESCAPE_FORMULAS = None
    settings.EXPORTER_FSYNC = None
    settings.EXPORTER_LEASE = None
    settings.EXPORTER_MAX_ATTEMPTS = 0
    settings.EXPORTER_MAX_ROWS = 0
    settings.EXPORTER_RUNNER = None
    settings.DEFAULT_FILE_STORAGE = "django.core.files.storage.FileSystemStorage"
    numbers = ["E001", "E002", "E003", "E004", "E005", "E006", "E007", "E009", "E010"]
    numbers += ["E008", "E043", "W001"]
    assert sorted(find_ids()) == sorted(f"exporter.{number}" for number in numbers)


# EXPORTER_STORAGE


def test_another_storage_passes(settings):
    settings.STORAGES = settings.STORAGES | {
        "exports": {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    }
    settings.EXPORTER_STORAGE = "exports"
    assert find_messages() == []


@pytest.mark.parametrize("alias", ["nowhere", "", None, 5, [], {}])
def test_an_unknown_storage_is_an_error(settings, alias):
    settings.EXPORTER_STORAGE = alias
    message = find_message()
    assert message.id == "exporter.E001"
    assert message.level == ERROR
    assert message.msg.startswith(f"EXPORTER_STORAGE is {alias!r}, which is no alias in STORAGES")
    assert "'default', 'staticfiles'" in message.hint


@pytest.mark.parametrize(
    "definition",
    [
        {"BACKEND": "nowhere.Storage"},
        {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"nope": 1}},
        {},
    ],
)
def test_a_storage_that_cannot_be_made_is_an_error(settings, definition):
    settings.STORAGES = settings.STORAGES | {"exports": definition}
    settings.EXPORTER_STORAGE = "exports"
    assert find_ids() == ["exporter.E001"]


def test_a_broken_storage_that_is_not_ours_passes(settings):
    settings.STORAGES = settings.STORAGES | {"broken": {"BACKEND": "nowhere.Storage"}}
    assert find_messages() == []


# EXPORTER_FORMATS


@pytest.mark.parametrize(
    "formats", [{}, {"tsv": {"BACKEND": CSV}}, {"csv": {"BACKEND": CSV, "OPTIONS": {}}}]
)
def test_good_formats_pass(settings, formats):
    settings.EXPORTER_FORMATS = formats
    assert find_messages() == []


@pytest.mark.parametrize("formats", [None, [], ["csv"], "csv", CSV, 5])
def test_formats_that_are_no_dict_are_an_error(settings, formats):
    settings.EXPORTER_FORMATS = formats
    message = find_message()
    assert message.id == "exporter.E002"
    assert message.level == ERROR
    assert message.msg == f"EXPORTER_FORMATS is {formats!r}, but must be a dict."


@pytest.mark.parametrize(
    "definition",
    [
        None,
        CSV,
        {},
        {"BACKEND": "nowhere.Writer"},
        {"BACKEND": ".CSVWriter"},
        {"BACKEND": "datetime.date"},
        {"BACKEND": CSV, "OPTIONS": {"nope": 1}},
        {"BACKEND": f"{__name__}.NamedWriter"},
    ],
)
def test_a_bad_format_is_an_error(settings, definition):
    settings.EXPORTER_FORMATS = {"tsv": definition}
    message = find_message()
    assert message.id == "exporter.E002"
    assert "EXPORTER_FORMATS['tsv']" in message.msg


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "t ",
        "a/b",
        "../x",
        "t\\v",
        "t:v",
        "t\0",
        "\ud800",
        "TSV",
        "t" * 51,
        None,
        5,
        b"tsv",
    ],
    ids=ascii,
)
def test_a_name_that_can_be_no_extension_is_an_error(settings, name):
    settings.EXPORTER_FORMATS = {name: {"BACKEND": CSV}}
    assert find_ids() == ["exporter.E002"]


def test_each_bad_format_is_an_error_of_its_own(settings):
    settings.EXPORTER_FORMATS = {"a": {}, "b": {"BACKEND": CSV}, "c": None}
    assert ["'a'" in message.msg for message in find_messages()] == [True, False]
    assert find_ids() == ["exporter.E002"] * 2


# EXPORTER_CHUNK_SIZE


@pytest.mark.parametrize("size", [1, 2000, 10**9])
def test_a_good_chunk_size_passes(settings, size):
    settings.EXPORTER_CHUNK_SIZE = size
    assert find_messages() == []


@pytest.mark.parametrize("size", [0, -1, 1.5, 2000.0, "2000", None, True, [], float("inf")])
def test_a_bad_chunk_size_is_an_error(settings, size):
    settings.EXPORTER_CHUNK_SIZE = size
    message = find_message()
    assert message.id == "exporter.E003"
    assert message.level == ERROR
    assert message.msg == f"EXPORTER_CHUNK_SIZE is {size!r}, but must be a positive integer."


# EXPORTER_PATH_PREFIX


@pytest.mark.parametrize("prefix", ["", "exports/", "a/b/c/", "export-", "x" * 100 + "/"])
def test_a_good_path_prefix_passes(settings, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    assert find_messages() == []


@pytest.mark.parametrize(
    "prefix",
    ["/", "/a/", "../", "../../a/", "a/../", "./", "a//", "a\\", "C:/", "a\0/", "con/", " a/"],
    ids=ascii,
)
def test_a_bad_path_prefix_is_an_error(settings, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    message = find_message()
    assert message.id == "exporter.E004"
    assert message.level == ERROR
    assert message.msg.startswith("Invalid EXPORTER_PATH_PREFIX ")
    assert "exports/" in message.hint


@pytest.mark.parametrize("prefix", [None, 5, b"exports/", [], Path("exports")], ids=repr)
def test_a_path_prefix_of_another_type_is_an_error(settings, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    assert find_ids() == ["exporter.E004"]


@pytest.mark.parametrize("prefix", ["x" * 240, "/".join(["x" * 240] * 2) + "/"])
def test_a_path_prefix_that_leaves_no_room_for_an_id_is_an_error(settings, prefix):
    settings.EXPORTER_PATH_PREFIX = prefix
    assert find_ids() == ["exporter.E004"]


# EXPORTER_TEMP_DIR


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_passes(settings, tmp_path, kind):
    settings.EXPORTER_TEMP_DIR = kind(tmp_path)
    assert find_messages() == []


@pytest.mark.parametrize("folder", ["/nowhere", "", 5, [], b"/tmp", True, "/tmp\0"], ids=ascii)
def test_what_is_no_folder_is_an_error(settings, folder):
    settings.EXPORTER_TEMP_DIR = folder
    message = find_message()
    assert message.id == "exporter.E005"
    assert message.level == ERROR
    assert message.msg.startswith(f"EXPORTER_TEMP_DIR is {folder!r}, but must be a folder")


@pytest.mark.parametrize("mode", [0o600, 0o700])
def test_a_file_is_no_folder(settings, tmp_path, mode):
    file = tmp_path / "file"
    file.touch(mode)
    settings.EXPORTER_TEMP_DIR = str(file)
    assert find_ids() == ["exporter.E005"]


def test_a_folder_that_cannot_be_written_to_is_an_error(settings, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    settings.EXPORTER_TEMP_DIR = tmp_path
    assert find_ids() == ["exporter.E005"]


@pytest.mark.parametrize("mode", [0o700, 0o770, 0o775, 0o1777])
def test_a_folder_in_which_nobody_replaces_files_of_others_passes(settings, tmp_path, mode):
    tmp_path.chmod(mode)
    settings.EXPORTER_TEMP_DIR = tmp_path
    assert find_messages() == []


@pytest.mark.parametrize("folder", ["shared", "shared/of/mine"])
@pytest.mark.parametrize("is_set", [True, False])
def test_a_shared_folder_without_the_sticky_bit_is_a_warning(settings, tmp_path, folder, is_set):
    path = tmp_path / folder
    path.mkdir(parents=True)
    (tmp_path / "shared").chmod(0o777)
    if is_set:
        settings.EXPORTER_TEMP_DIR = str(path)
    else:
        settings.MEDIA_ROOT = str(path)
    message = find_message()
    assert (message.id, message.level) == ("exporter.W040", WARNING)
    assert message.msg.startswith(f"Unfinished files are made in {str(path)!r}")
    assert message.hint.startswith(f"Run chmod +t {str(tmp_path / 'shared')!r}")


# EXPORTER_ESCAPE_FORMULAS, EXPORTER_FSYNC and EXPORTER_LEASE

BOOLEANS = {"EXPORTER_ESCAPE_FORMULAS": "exporter.E006", "EXPORTER_FSYNC": "exporter.E043"}


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_passes(settings, name, value):
    setattr(settings, name, value)
    assert find_messages() == []


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize("value", [None, "yes", "False", 0, 1, []])
def test_what_is_no_boolean_is_an_error(settings, name, value):
    setattr(settings, name, value)
    message = find_message()
    assert message.id == BOOLEANS[name]
    assert message.level == ERROR
    assert message.msg == f"{name} is {value!r}, but must be True or False."


@pytest.mark.parametrize("lease", [2, 2.5, 60, 86400])
def test_a_good_lease_passes(settings, lease):
    settings.EXPORTER_LEASE = lease
    assert find_messages() == []


@pytest.mark.parametrize(
    "lease", [0, 1, 1.9, -60, "60", None, True, [], float("nan"), float("inf")]
)
def test_a_bad_lease_is_an_error(settings, lease):
    settings.EXPORTER_LEASE = lease
    message = find_message()
    assert message.id == "exporter.E007"
    assert message.level == ERROR
    assert message.msg.startswith(f"EXPORTER_LEASE is {lease!r}, but must be a number of seconds")


# EXPORTER_RUNNER


@pytest.mark.parametrize(
    "runner",
    [
        {},
        {"OPTIONS": {}},
        {"BACKEND": "django_infra.exporter.runners.inline.InlineRunner"},
        {"BACKEND": "django_infra.exporter.runners.django_tasks.DjangoTasksRunner"},
        {
            "BACKEND": "django_infra.exporter.runners.celery.CeleryRunner",
            "OPTIONS": {"queue": "exports", "time_limit": 600, "soft_time_limit": 590.5},
        },
    ],
)
def test_a_runner_passes(settings, runner):
    settings.EXPORTER_RUNNER = runner
    assert find_messages() == []


@pytest.mark.parametrize(
    ("runner", "fault"),
    [
        (None, "EXPORTER_RUNNER is None, but must be a dict"),
        ("inline", "EXPORTER_RUNNER is 'inline', but must be a dict"),
        ({"BACKEND": "inline"}, "is 'inline', but must be the dotted path of a Runner"),
        ({"BACKEND": 5}, "is 5, but must be the dotted path"),
        ({"BACKEND": "nowhere.Runner"}, "No module named 'nowhere'"),
        ({"BACKEND": "testapp.models.Author"}, "not a subclass of django_infra.exporter.runners"),
        ({"BACKEND": "testapp.runners.BoxRunner", "OPTIONS": {"size": 1}}, "{'size': 1} do not"),
        ({"BACKEND": "testapp.runners.BoxRunner", "OPTIONS": None}, "None do not suit"),
        (
            {
                "BACKEND": "django_infra.exporter.runners.django_tasks.DjangoTasksRunner",
                "OPTIONS": {"queue_name": "nowhere"},
            },
            # Releases of Django call the error by one of two names.
            "backend 'default' of TASKS and its queue 'nowhere': InvalidTask",
        ),
        (
            {
                "BACKEND": "django_infra.exporter.runners.django_tasks.DjangoTasksRunner",
                "OPTIONS": {"queue": "slow"},
            },
            "Allowed: 'backend', 'queue_name', 'priority'.",
        ),
        (
            {
                "BACKEND": "django_infra.exporter.runners.celery.CeleryRunner",
                "OPTIONS": {"soft_time_limit": 60, "time_limit": 60},
            },
            "its soft_time_limit 60 must be less than its time_limit 60",
        ),
        (
            {
                "BACKEND": "django_infra.exporter.runners.django_tasks.DjangoTasksRunner",
                "OPTIONS": {"backend": "nowhere"},
            },
            "nowhere",
        ),
    ],
)
def test_a_runner_that_cannot_be_used_is_an_error(settings, runner, fault):
    settings.EXPORTER_RUNNER = runner
    message = find_message()
    assert message.id == "exporter.E008"
    assert message.msg.startswith("EXPORTER_RUNNER cannot be used: ")
    assert fault in message.msg


# Attempts and limits


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EXPORTER_MAX_ATTEMPTS", 0),
        ("EXPORTER_MAX_ATTEMPTS", 21),
        ("EXPORTER_MAX_ATTEMPTS", 2.0),
        ("EXPORTER_MAX_ATTEMPTS", True),
        ("EXPORTER_MAX_ATTEMPTS", None),
        ("EXPORTER_RETRY_DELAY", -1),
        ("EXPORTER_RETRY_DELAY", "5"),
        ("EXPORTER_RETRY_DELAY", float("nan")),
        ("EXPORTER_HANDOVER_TIMEOUT", None),
        ("EXPORTER_HANDOVER_TIMEOUT", float("inf")),
    ],
)
def test_attempts_that_make_no_sense_are_an_error(settings, setting, value):
    setattr(settings, setting, value)
    message = find_message()
    assert message.id == "exporter.E009"
    assert message.msg.startswith(f"{setting} is {value!r}, but must be ")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EXPORTER_MAX_ROWS", 0),
        ("EXPORTER_MAX_ROWS", "1000"),
        ("EXPORTER_MAX_FILE_SIZE", 1.5),
        ("EXPORTER_MAX_ACTIVE_PER_USER", -1),
        ("EXPORTER_MAX_ACTIVE_PER_USER", True),
        ("EXPORTER_EXPIRES_IN", 3600),
        ("EXPORTER_EXPIRES_IN", timedelta(-1)),
        ("EXPORTER_DELETE_ROWS_AFTER", "30 days"),
    ],
)
def test_a_limit_that_is_none_is_an_error(settings, setting, value):
    setattr(settings, setting, value)
    message = find_message()
    assert message.id == "exporter.E010"
    assert message.msg.startswith(f"{setting} is {value!r}, but must be a ")
    assert message.msg.endswith(" or None.")


# DEFAULT_FILE_STORAGE


@pytest.mark.parametrize("backend", ["storages.backends.s3.S3Storage", "", None])
def test_the_old_name_of_the_storage_setting_is_a_warning(settings, backend):
    settings.DEFAULT_FILE_STORAGE = backend
    message = find_message()
    assert message.id == "exporter.W001"
    assert message.level == WARNING
    assert "exports go to the storage 'default' of STORAGES" in message.msg
    assert "remove DEFAULT_FILE_STORAGE" in message.hint


# Media that everyone is served


def test_media_served_by_static_is_a_warning(settings, serve_at):
    settings.DEBUG = True
    serve_at(*static("/media/", document_root=settings.MEDIA_ROOT))
    message = find_message()
    assert message.id == "exporter.W002"
    assert message.level == WARNING
    assert settings.MEDIA_ROOT in message.msg
    assert "EXPORTER_STORAGE" in message.hint


def nest(pattern):
    return path("a/", include(([path("b/", include([pattern]))], "app"), namespace="app"))


@pytest.mark.parametrize("wrap", [lambda pattern: pattern, nest])
@pytest.mark.parametrize("kind", [str, Path])
def test_media_served_by_a_pattern_is_a_warning(serve_at, media_root, wrap, kind):
    serve_at(wrap(re_path("^m/(?P<path>.*)$", serve, {"document_root": kind(media_root)})))
    assert find_ids() == ["exporter.W002"]


def test_options_of_an_include_are_options_of_its_patterns(serve_at, media_root):
    serve_at(path("m/", include([path("<path:path>", serve)]), {"document_root": media_root}))
    assert find_ids() == ["exporter.W002"]


@pytest.mark.parametrize(
    "root",
    ["media/", "media/.", "media/exports", "", "media/../media", "elsewhere/../media", "../{name}"],
)
def test_whatever_contains_the_exports_is_a_warning(serve_at, tmp_path, root):
    root = os.path.join(tmp_path, root.format(name=tmp_path.name))
    serve_at(path("<path:path>", serve, {"document_root": root}))
    assert find_ids() == ["exporter.W002"]


def test_a_media_root_with_a_way_up_is_a_warning(settings, serve_at, tmp_path):
    settings.MEDIA_ROOT = os.path.join(tmp_path, "project", "..", "media")
    serve_at(path("<path:path>", serve, {"document_root": settings.MEDIA_ROOT}))
    assert find_ids() == ["exporter.W002"]


def test_a_link_to_the_media_is_a_warning(serve_at, media_root, tmp_path):
    media_root.mkdir()
    (tmp_path / "link").symlink_to(media_root)
    serve_at(path("<path:path>", serve, {"document_root": tmp_path / "link"}))
    assert find_ids() == ["exporter.W002"]


def test_a_relative_root_is_a_warning(serve_at, media_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serve_at(path("<path:path>", serve, {"document_root": "media"}))
    assert find_ids() == ["exporter.W002"]


@pytest.mark.parametrize("root", ["avatars", "exports/old", "../media2", "../static", "export"])
def test_another_root_passes(serve_at, media_root, root):
    serve_at(path("<path:path>", serve, {"document_root": f"{media_root}/{root}"}))
    assert find_messages() == []


def test_media_for_those_who_log_in_pass(serve_at, media_root):
    serve_at(path("<path:path>", login_required(serve), {"document_root": media_root}))
    assert find_messages() == []


def decorate(view):
    """Log requests, as a decorator of a project's own may."""

    @wraps(view)
    def wrapper(request, *args, **kwargs):
        return view(request, *args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "wrap",
    [
        decorate,
        never_cache,
        cache_page(60),
        condition(etag_func=lambda request, **kwargs: "1"),
        lambda view: never_cache(decorate(gzip_page(view))),
        lambda view: update_wrapper(partial(view), view),
        lambda view: lambda request, **kwargs: view(request, **kwargs),
    ],
)
def test_media_served_in_a_decorator_is_a_warning(serve_at, media_root, wrap):
    serve_at(path("<path:path>", wrap(serve), {"document_root": media_root}))
    message = find_message()
    assert message.id == "exporter.W002"
    assert "silence the check" in message.hint


def test_media_served_by_a_partial_is_a_warning(serve_at, media_root, tmp_path):
    serve_at(path("<path:path>", partial(serve, document_root=media_root)))
    assert find_ids() == ["exporter.W002"]
    public = partial(partial(serve, document_root=media_root), document_root=tmp_path / "public")
    serve_at(path("<path:path>", decorate(public)))
    assert find_ids() == []
    inside = partial(serve, document_root=tmp_path / "public")
    serve_at(path("<path:path>", inside, {"document_root": media_root}))
    assert find_ids() == ["exporter.W002"]


@pytest.mark.parametrize(
    "guard",
    [
        login_required,
        permission_required("testapp.view_author"),
        user_passes_test(bool),
        staff_member_required,
        admin.site.admin_view,
        lambda view: never_cache(login_required(decorate(view))),
    ],
)
def test_media_behind_a_guard_of_django_pass(serve_at, media_root, guard):
    serve_at(path("<path:path>", guard(serve), {"document_root": media_root}))
    assert find_messages() == []


def test_serving_nothing_in_particular_passes(serve_at):
    serve_at(path("<path:path>/<path:document_root>", serve))
    assert find_messages() == []


@pytest.mark.parametrize(("prefix", "expected"), [("a/", []), ("b/c/", ["exporter.W002"])])
def test_the_path_prefix_counts(settings, serve_at, media_root, prefix, expected):
    settings.EXPORTER_PATH_PREFIX = prefix
    serve_at(path("<path:path>", serve, {"document_root": media_root / "b"}))
    assert find_ids() == expected


def test_a_storage_elsewhere_passes(settings, serve_at, media_root, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "exports": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "private"},
        },
        "memory": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    serve_at(path("<path:path>", serve, {"document_root": media_root}))
    for alias in ("exports", "memory"):
        settings.EXPORTER_STORAGE = alias
        assert find_messages() == []


def test_a_project_without_urls_passes(settings):
    settings.ROOT_URLCONF = None
    assert find_messages() == []


# Where files lie that nobody has chosen a place for


@pytest.mark.parametrize("root", ["", "media", "./media"])
def test_a_media_root_that_depends_on_the_working_folder_is_a_warning(
    settings, tmp_path, monkeypatch, root
):
    monkeypatch.chdir(tmp_path)
    settings.MEDIA_ROOT = root
    message = find_message()
    assert (message.id, message.level) == ("exporter.W010", WARNING)
    assert message.msg.startswith("The storage 'default', which EXPORTER_STORAGE names, has the")
    assert repr(os.path.join(tmp_path, root.removeprefix("./"), "exports")) in message.msg.replace(
        "exports/'", "exports'"
    )
    assert "MEDIA_ROOT" in message.hint


def test_the_place_of_another_storage_counts(settings, tmp_path):
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = settings.STORAGES | {
        "here": {"BACKEND": backend, "OPTIONS": {"location": "here"}},
        "there": {"BACKEND": backend, "OPTIONS": {"location": tmp_path}},
    }
    settings.EXPORTER_STORAGE = "here"
    assert find_ids() == ["exporter.W010"]
    settings.MEDIA_ROOT = ""
    settings.EXPORTER_STORAGE = "there"
    assert find_messages() == []
