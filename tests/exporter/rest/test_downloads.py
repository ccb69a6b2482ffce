from __future__ import annotations

import datetime
import os

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.db import connection
from django.utils import timezone

from django_infra.exporter.exceptions import InvalidLimit
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.models.links import read as read_link
from django_infra.exporter.models.links import sign
from exporter.rest.rows import CONTENT, LIST, get_detail, make_export, make_file

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)


class DownStorage(InMemoryStorage):
    """A storage that is away."""

    def open(self, name, mode="rb"):
        raise ConnectionError("secret-host is down")

    exists = open


def get_body(response):
    return b"".join(response.streaming_content)


def download(client, export, **headers):
    return client.get(f"{get_detail(export)}download/", headers=headers)


def test_a_download_is_the_file(login, user):
    export = make_file(user)
    response = download(login, export)
    assert response.status_code == 200
    assert get_body(response) == CONTENT
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Disposition"] == f'attachment; filename="{export.id}.csv"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("accept", ["text/csv", "application/octet-stream", "image/png", "*/*", ""])
def test_the_accept_header_does_not_matter(login, user, accept):
    assert download(login, make_file(user), accept=accept).status_code == 200
    response = download(login, make_export(user, ExportState.PROCESSING), accept=accept)
    assert (response.status_code, response["Content-Type"]) == (409, "application/json")


def test_the_name_is_that_of_the_path_without_its_folder(login, user):
    response = download(login, make_file(user, file_path="secret/Übersicht.csv"))
    assert "filename*=UTF-8''%C3%9Cbersicht.csv" in response["Content-Disposition"]
    assert "secret" not in str(response.headers)


def test_a_later_attempt_has_the_asked_name(login, user):
    export = make_export(user, ExportState.PROCESSING, file_path="asked.csv")
    export.try_again("second", ValueError())
    export.succeed(row_count=2, file_size=10, job_time=HOUR)
    assert export.file.name != "asked.csv"
    export.storage.save(export.file.name, ContentFile(CONTENT))
    response = download(login, export)
    assert response["Content-Disposition"] == 'attachment; filename="asked.csv"'
    assert get_body(response) == CONTENT


def test_a_part_can_be_asked_for(login, user):
    export = make_file(user)
    response = download(login, export, range="bytes=4-6")
    assert (response.status_code, get_body(response)) == (206, CONTENT[4:7])
    assert response["Content-Range"] == f"bytes 4-6/{len(CONTENT)}"
    etag = response["ETag"]
    assert download(login, export, range="bytes=0-0", if_range=etag).status_code == 206
    assert download(login, export, range="bytes=0-0", if_range='"x"').status_code == 200
    assert download(login, export, if_none_match=etag).status_code == 304
    assert download(login, export, range="bytes=99-").status_code == 416


def test_another_export_has_another_etag(login, user):
    assert len({download(login, make_file(user))["ETag"] for _ in range(2)}) == 2


def test_head_has_the_headers_alone(login, user):
    response = login.head(f"{get_detail(make_file(user))}download/")
    assert response.status_code == 200
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("state", [ExportState.SCHEDULED, ExportState.PROCESSING])
def test_what_is_not_finished_is_a_conflict(login, user, state):
    response = download(login, make_export(user, state))
    assert response.status_code == 409
    assert response.json() == {"detail": "The export is not finished."}
    assert response["Retry-After"] == "2"


def test_what_has_failed_is_a_conflict(login, user):
    response = download(login, make_export(user, ExportState.FAIL))
    assert response.status_code == 409
    assert response.json() == {"detail": "The export failed."}
    assert "Retry-After" not in response


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_has_expired_is_gone(login, user, is_deleted):
    export = make_file(user)
    export.update(expires_at=timezone.now())
    if is_deleted:
        assert export.expire(lease=60)
    response = download(login, export)
    assert response.status_code == 410
    assert response.json() == {"detail": "The file has expired."}
    assert login.get(get_detail(export)).json()["download_url"] is None


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_gone_is_not_found_and_the_row_says_so(login, user, monkeypatch, is_atomic):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", is_atomic)
    export = make_file(user)
    export.storage.delete(export.file.name)
    assert login.get(get_detail(export)).json()["download_url"]
    for _ in range(2):
        response = download(login, export)
        assert response.status_code == 404
        assert response.json() == {"detail": "The file is gone."}
    export.refresh_from_db()
    assert (export.state, export.file.name) == (ExportState.SUCCESS, "")
    assert export.file_deleted_at
    assert login.get(get_detail(export)).json()["download_url"] is None


def test_a_storage_that_is_down_is_unavailable(login, user, settings, caplog):
    export = make_file(user)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "exporter.rest.test_downloads.DownStorage"},
    }
    response = download(login, export)
    assert response.status_code == 503
    assert response.json() == {"detail": "The file cannot be read now."}
    assert response["Retry-After"] == "5"
    assert "secret-host" in caplog.text
    export.refresh_from_db()
    assert export.file


@pytest.mark.parametrize("disturb", ["loop", "file", "closed"])
def test_a_folder_that_cannot_be_entered_costs_no_file(login, user, media_root, caplog, disturb):
    export = make_file(user, path_prefix="exports/")
    folder = media_root / "exports"
    away = folder.rename(media_root / "away")
    if disturb == "loop":
        folder.symlink_to(folder)
    elif disturb == "file":
        folder.touch()
    elif os.geteuid() == 0:
        pytest.skip("root enters every folder")
    else:
        folder.mkdir(mode=0)
    assert download(login, export).status_code == 503
    folder.rmdir() if disturb == "closed" else folder.unlink()
    away.rename(folder)
    response = download(login, export)
    assert (response.status_code, get_body(response)) == (200, CONTENT)


def test_a_file_that_somebody_has_replaced_is_another_version(login, user, media_root):
    export = make_file(user)
    etag = download(login, export)["ETag"]
    (media_root / str(export.file.name)).write_bytes(b"other")
    assert download(login, export, if_none_match=etag).status_code == 200


def test_a_storage_that_is_no_more_is_unavailable(login, user, caplog):
    export = make_file(user)
    QueryExport.objects.update(storage_alias="nope")
    assert download(login, export).status_code == 503


def test_a_format_that_is_no_more_is_sent_as_bytes(login, user):
    export = make_file(user)
    QueryExport.objects.update(format="nope")
    assert download(login, export)["Content-Type"] == "application/octet-stream"


def test_a_file_that_is_being_deleted_is_not_written_off(user):
    export = make_file(user)
    QueryExport.objects.update(path_key="x")
    assert not export.lose_file()
    assert QueryExport.objects.get().file


def test_a_row_that_has_another_file_by_now_keeps_it(user):
    export = make_file(user)
    QueryExport.objects.update(file="other.csv")
    assert not export.lose_file()
    assert QueryExport.objects.get().file


# download_url


@pytest.mark.parametrize("state", ExportState)
def test_only_what_can_be_downloaded_has_a_url(login, user, state):
    export = make_export(user, state)
    url = login.get(get_detail(export)).json()["download_url"]
    expected = f"http://testserver{get_detail(export)}download/"
    assert url == (expected if state == ExportState.SUCCESS else None)


@pytest.mark.parametrize(
    "fields", [{"file": ""}, {"expires_at": timezone.now()}], ids=["no file", "expired"]
)
def test_a_file_that_is_gone_has_no_url(login, user, fields):
    export = make_export(user)
    export.update(**fields)
    assert login.get(get_detail(export)).json()["download_url"] is None


def test_a_forged_host_does_not_make_a_url(login, user):
    response = login.get(get_detail(make_export(user)), headers={"host": "evil.example"})
    assert response.status_code == 400
    response = login.get(
        get_detail(make_export(user)), headers={"x-forwarded-host": "evil.example"}
    )
    assert "evil" not in response.content.decode()


# Signed links


@pytest.mark.parametrize("expires", [HOUR, 3600, 0.5])
def test_whoever_has_a_signed_link_gets_the_file(client, user, expires):
    export = make_file(user)
    url = export.signed_url(expires=expires)
    assert url.startswith(f"{LIST}signed/")
    response = client.get(url)
    assert (response.status_code, get_body(response)) == (200, CONTENT)
    assert response["Cache-Control"] == "private, no-store"


def test_a_signed_link_opens_nothing_else(client, user):
    url = make_file(user).signed_url(expires=HOUR)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(url).status_code == 405
    for path in ("cancel/", "download/", "x/"):
        assert client.get(url + path).status_code == 404
    token = url.split("/")[-2]
    assert client.get(f"{LIST}{token}/download/").status_code in {401, 403, 404}


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: token[:-1],
        lambda token: "x" + token,
        lambda token: token.swapcase(),
        lambda token: token.split(":")[0],
        lambda token: "x",
        lambda token: "x" * 5000,
        lambda token: (
            sign("Author-20260101000000-x", expires=HOUR).split(":")[0] + token[token.index(":") :]
        ),
    ],
    ids=range(7),
)
def test_a_forged_link_is_refused(client, user, forge):
    token = make_file(user).signed_url(expires=HOUR).split("/")[-2]
    response = client.get(f"{LIST}signed/{forge(token)}/")
    assert response.status_code == 403
    assert list(response.json()) == ["detail"]


def test_a_link_of_another_secret_is_refused(client, user, settings):
    url = make_file(user).signed_url(expires=HOUR)
    settings.SECRET_KEY = "another"
    assert client.get(url).status_code == 403
    settings.SECRET_KEY_FALLBACKS = ["tests"]
    assert client.get(url).status_code == 200


def test_a_link_is_over_when_its_time_is(user, monkeypatch):
    token = sign("x", expires=10)
    assert read_link(token) == "x"
    now = timezone.now().timestamp()
    monkeypatch.setattr("time.time", lambda: now + 11)
    assert read_link(token) is None


def test_what_something_else_has_signed_is_no_link(client, user):
    from django.core import signing

    token = signing.dumps([make_file(user).pk, 2**40])
    assert client.get(f"{LIST}signed/{token}/").status_code == 403


@pytest.mark.parametrize(
    "expires", [0, -1, None, "1", True, datetime.timedelta(0), float("nan"), float("inf"), 10**12]
)
def test_a_link_needs_a_time(user, expires):
    with pytest.raises(InvalidLimit, match="expires is"):
        make_export(user).signed_url(expires=expires)


def test_a_link_says_what_has_become_of_the_export(client, user):
    processing = make_export(user, ExportState.PROCESSING).signed_url(expires=HOUR)
    assert client.get(processing).status_code == 409
    export = make_file(user)
    url = export.signed_url(expires=HOUR)
    export.update(expires_at=timezone.now())
    assert client.get(url).status_code == 410
    export.delete()
    assert client.get(url).status_code == 404
