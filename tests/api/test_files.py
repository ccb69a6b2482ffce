from __future__ import annotations

import asyncio
import importlib
import io
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage, storages
from django.http import BadHeaderError
from django.test import AsyncRequestFactory, RequestFactory
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from django_infra.api.files import FileStreamResponse, content_disposition, sign_storage_url
from exporter.faults.s3 import S3Server

# A response that closes has Django look at its connections.
pytestmark = pytest.mark.django_db

DATA = bytes(range(100))
HUGE = "9" * 5000
MODIFIED = datetime(2026, 5, 4, 3, 2, 1, 500_000, tzinfo=UTC)
EARLIER, AT, LATER = (f"Mon, 04 May 2026 03:02:0{second} GMT" for second in range(3))


# django-storages' own deprecation is not ours to mend.
ignore_utcnow = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class CountingFile(io.BytesIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size=-1):
        data = super().read(size)
        self.count += len(data)
        return data


class Pipe(CountingFile):
    def seekable(self):
        return False

    def seek(self, *position):
        raise io.UnsupportedOperation("seek")


def respond(file, method="GET", *, headers=None, make=RequestFactory, **options):
    request = make().generic(method, "/", headers=headers)
    options = {"filename": "a.csv", "content_type": "text/csv", **options}
    return FileStreamResponse(request, file, **options)


def read(response):
    """Return the body, and close the response as servers do."""

    async def read_async():
        return b"".join([chunk async for chunk in response])

    body = asyncio.run(read_async()) if response.is_async else b"".join(response)
    response.close()
    return body


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
@pytest.mark.parametrize("chunk_size", [1, 7, 100, 1000])
def test_whole_file(make, chunk_size):
    file = CountingFile(DATA)
    response = respond(file, make=make, chunk_size=chunk_size)
    assert file.count == 0
    assert read(response) == DATA
    assert file.closed
    assert response.status_code == 200
    assert dict(response.headers) == {
        "Accept-Ranges": "bytes",
        "Content-Disposition": 'attachment; filename="a.csv"',
        "Content-Encoding": "identity",
        "Content-Length": "100",
        "Content-Type": "text/csv",
        "X-Content-Type-Options": "nosniff",
    }


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, 100),
        ("bytes=99-", 99, 100),
        ("bytes=-1", 99, 100),
        ("bytes=-100", 0, 100),
        ("bytes=-101", 0, 100),
        ("bytes=10-1000", 10, 100),
        (f"bytes=10-{HUGE}", 10, 100),
        (f"bytes=-{HUGE}", 0, 100),
        ("bytes=" + "0" * 5000 + "10-11", 10, 12),
        ("BYTES= 10-11\t", 10, 12),
    ],
)
def test_range(make, asked, start, stop):
    file = CountingFile(DATA)
    response = respond(file, make=make, headers={"Range": asked})
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/100"
    assert response["Content-Length"] == str(stop - start)
    assert response["Content-Type"] == "text/csv"
    assert read(response) == DATA[start:stop]
    assert file.count == stop - start
    assert file.closed


@pytest.mark.parametrize(
    ("size", "asked"),
    [
        (100, "bytes=100-"),
        (100, "bytes=100-200"),
        (100, "bytes=-0"),
        (100, f"bytes={HUGE}-"),
        (100, f"bytes={HUGE}-{HUGE}"),
        (0, "bytes=0-"),
        (0, "bytes=0-0"),
        (0, "bytes=-1"),
    ],
)
def test_range_outside_is_refused(size, asked):
    file = CountingFile(DATA[:size])
    response = respond(file, headers={"Range": asked}, etag="v1")
    assert response.status_code == 416
    assert file.closed
    assert read(response) == b""
    assert dict(response.headers) == {
        "Accept-Ranges": "bytes",
        "Content-Encoding": "identity",
        "Content-Length": "0",
        "Content-Range": f"bytes */{size}",
        "ETag": '"v1"',
        "X-Content-Type-Options": "nosniff",
    }


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes= - ",
        "bytes=a-b",
        "bytes=1",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=1 - 2",
        "bytes=1_0-2_0",
        "bytes=²-³",
        "bytes=2-1",
        f"bytes={HUGE}-1",
        "lines=1-2",
        "bytes 1-2",
        "bytes=0-1,5-6",
        "bytes=0-1,",
        "bytes=" + ",".join(f"{start}-" for start in range(100_000)),
        "bytes=" + "1" * (1 << 20) + "x",
        "bytes=" + " " * (1 << 20) + "x",
        "bytes=1-2\x00",
    ],
    ids=lambda asked: asked[:20],
)
def test_other_ranges_are_ignored(asked):
    response = respond(CountingFile(DATA), headers={"Range": asked})
    assert response.status_code == 200
    assert not response.has_header("Content-Range")
    assert read(response) == DATA


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_range_is_for_get(method):
    assert respond(CountingFile(DATA), method, headers={"Range": "bytes=1-2"}).status_code == 200


@pytest.mark.parametrize(
    ("etag", "condition", "status"),
    [
        ("v1", '"v1"', 206),
        ('"v1"', '"v1"', 206),
        ("v1", AT, 206),
        ("v1", '"v2"', 200),
        ("v1", "v1", 200),
        ("v1", 'W/"v1"', 200),
        ('W/"v1"', 'W/"v1"', 200),
        ('W/"v1"', '"v1"', 200),
        ("v1", EARLIER, 200),
        ("v1", LATER, 200),
        ("v1", "Monday, 04-May-26 03:02:01 GMT", 200),
        ("v1", "", 200),
        ("v1", '"v1", "v2"', 200),
        (None, AT, 206),
        (None, "W/", 200),
        (None, "None", 200),
    ],
)
def test_range_of_another_version_is_the_whole_file(etag, condition, status):
    headers = {"Range": "bytes=1-2", "If-Range": condition}
    response = respond(CountingFile(DATA), headers=headers, etag=etag, last_modified=MODIFIED)
    assert response.status_code == status
    assert len(read(response)) == (2 if status == 206 else 100)


def test_range_is_whole_file_if_no_version_is_known():
    headers = {"Range": "bytes=1-2", "If-Range": '"v1"'}
    assert respond(CountingFile(DATA), headers=headers).status_code == 200


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": '"v2"'}, 412),
        ({"If-Match": 'W/"v1"'}, 412),
        ({"If-Unmodified-Since": EARLIER}, 412),
        ({"If-Match": '"v2"', "If-None-Match": '"v1"'}, 412),
        ({"If-None-Match": '"v1"'}, 304),
        ({"If-None-Match": 'W/"v1"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-Modified-Since": AT}, 304),
        ({"If-None-Match": '"v1"', "Range": "bytes=1-2"}, 304),
        ({"If-None-Match": '"v1"', "Range": "bytes=1000-"}, 304),
        ({"If-Match": '"v2"', "Range": "bytes=1000-"}, 412),
    ],
)
def test_condition_that_ends_the_answer(make, method, headers, status):
    file = CountingFile(DATA)
    response = respond(file, method, headers=headers, make=make, etag="v1", last_modified=MODIFIED)
    assert response.status_code == status
    assert file.closed
    assert read(response) == b""
    assert response["ETag"] == '"v1"'
    assert response["Last-Modified"] == AT
    assert not response.has_header("Content-Type")
    assert not response.has_header("Content-Disposition")
    assert response.get("Content-Length") == (None if status == 304 else "0")


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": '"v1"'},
        {"If-Match": "*"},
        {"If-Unmodified-Since": AT},
        {"If-None-Match": '"v2"'},
        {"If-None-Match": '"v2"', "If-Modified-Since": AT},
        {"If-Modified-Since": EARLIER},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": "Mon, 99 May 99999 99:99:99 GMT"},
        {"If-None-Match": "\x00" * 100},
    ],
)
@pytest.mark.parametrize(("asked", "status"), [({}, 200), ({"Range": "bytes=1-2"}, 206)])
def test_condition_that_passes(headers, asked, status):
    headers = headers | asked
    response = respond(CountingFile(DATA), headers=headers, etag="v1", last_modified=MODIFIED)
    assert response.status_code == status


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_head_reads_nothing(make):
    file = CountingFile(DATA)
    response = respond(file, "HEAD", make=make, etag="v1")
    assert file.closed
    assert read(response) == b""
    assert file.count == 0
    assert response.headers == respond(CountingFile(DATA), etag="v1").headers


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_empty_file(make):
    response = respond(CountingFile(), make=make)
    assert response.status_code == 200
    assert response["Content-Length"] == "0"
    assert read(response) == b""


def test_file_is_sent_from_its_start():
    file = CountingFile(DATA)
    file.seek(50)
    assert read(respond(file)) == DATA


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_file_that_cannot_seek(make):
    response = respond(Pipe(DATA), make=make, size=100, headers={"Range": "bytes=1-2"})
    assert response.status_code == 200
    assert response["Accept-Ranges"] == "none"
    assert response["Content-Length"] == "100"
    assert read(response) == DATA


def test_file_that_cannot_seek_needs_a_size():
    file = Pipe(DATA)
    with pytest.raises(ValueError, match=r"^<.*Pipe.*> cannot seek, and must be given with its"):
        respond(file)
    assert file.closed


def test_file_of_a_storage(tmp_path):
    storage = FileSystemStorage(tmp_path)
    storage.save("a.csv", ContentFile(DATA))
    file = storage.open("a.csv")
    response = respond(file, headers={"Range": "bytes=5-"})
    assert response["Content-Range"] == "bytes 5-99/100"
    assert read(response) == DATA[5:]
    assert file.closed


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_file_that_grew_is_sent_as_it_was(make):
    assert read(respond(CountingFile(DATA), make=make, size=60)) == DATA[:60]


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_file_that_shrank_raises(make):
    response = respond(CountingFile(DATA), make=make, size=101)
    with pytest.raises(OSError, match=r"CountingFile.* ended 1 bytes before its size\.$"):
        read(response)
    assert response.file.closed is (make is AsyncRequestFactory)


@pytest.mark.parametrize("make", [RequestFactory, AsyncRequestFactory])
def test_response_that_nobody_reads_closes_its_file(make):
    file = CountingFile(DATA)
    respond(file, make=make).close()
    assert file.closed


@pytest.mark.parametrize("options", [{"content_type": "a\nb"}, {"etag": "a\nb"}])
def test_response_that_cannot_be_made_closes_its_file(options):
    file = CountingFile(DATA)
    with pytest.raises(BadHeaderError):
        respond(file, **options)
    assert file.closed


@pytest.mark.parametrize("make", [APIRequestFactory, AsyncRequestFactory])
def test_view_of_rest_framework(make):
    class View(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request):
            return FileStreamResponse(
                request, File(CountingFile(DATA)), filename="é.csv", content_type="text/csv"
            )

    response = View.as_view()(make().get("/", headers={"Range": "bytes=-3"}))
    assert response.status_code == 206
    assert response.is_async is (make is AsyncRequestFactory)
    assert response["Content-Disposition"].endswith("; filename*=UTF-8''%C3%A9.csv")
    assert read(response) == DATA[-3:]


def test_only_a_plain_whole_file_lends_its_descriptor(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(DATA)

    class Cipher(File):
        """A file whose bytes are not those on the disk."""

    def lends(file, **options):
        with closing(respond(file, **options)) as response:
            return hasattr(response.file_to_stream, "fileno")

    assert lends(path.open("rb"))
    assert lends(File(path.open("rb")))
    assert not lends(File(path.open("rb")), headers={"Range": "bytes=0-98"})
    assert not lends(File(path.open("rb")), size=60)
    assert not lends(Cipher(path.open("rb")))
    assert not lends(CountingFile(DATA))
    moved = File(path.open("rb"))
    moved.read(1)  # which leaves the descriptor behind a buffer
    assert not lends(moved)


@pytest.fixture(scope="module")
def s3_server():
    with S3Server() as server:
        server.put("a/rows.csv", DATA)
        yield server


@pytest.fixture
def make_s3(s3_server, settings):
    """Make a storage in the bucket of the server."""

    def make(**options):
        definition = s3_server.get_storage()
        definition["OPTIONS"] |= options
        settings.STORAGES = settings.STORAGES | {"default": definition}
        return storages["default"]

    return make


@pytest.fixture(scope="module")
def private_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def sign(storage, name="a/rows.csv", filename='"é" 1.csv', expires_in=60):
    return sign_storage_url(
        storage, name, filename=filename, content_type="text/csv", expires_in=expires_in
    )


def parse_query(url):
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize("expires_in", [60, timedelta(minutes=1)])
def test_s3_sends_the_file(make_s3, expires_in):
    url = sign(make_s3(), expires_in=expires_in)
    assert parse_query(url)["X-Amz-Expires"] == "60"
    with urlopen(url) as response:
        assert response.read() == DATA
        assert response.headers["Content-Type"] == "text/csv"
        assert response.headers["Content-Disposition"] == content_disposition('"é" 1.csv')


def test_default_storage_signs(make_s3):
    make_s3()
    assert "X-Amz-Signature" in parse_query(sign(default_storage))


@pytest.mark.parametrize(
    "options",
    [
        {"querystring_auth": False},
        {"custom_domain": "files.example.com"},
        {"custom_domain": "files.example.com", "querystring_auth": False},
    ],
)
@pytest.mark.parametrize("name", ["a/rows.csv", "a/rows.csv?Signature=x", "a?sig=x#&sig=y"])
def test_url_that_is_not_signed_is_never_given(make_s3, options, name):
    storage = make_s3(**options)
    assert storage.url(name)
    assert sign(storage, name, filename=name) is None


@ignore_utcnow
def test_cloudfront_signs(make_s3, private_key):
    domain = {"custom_domain": "files.example.com"}
    key = {"cloudfront_key_id": "K1", "cloudfront_key": private_key}
    url = sign(make_s3(**domain, **key))
    assert url.startswith("https://files.example.com/a/rows.csv?")
    query = parse_query(url)
    assert query["Key-Pair-Id"] == "K1"
    assert query["response-content-disposition"] == content_disposition('"é" 1.csv')
    assert query["response-content-type"] == "text/csv"
    assert sign(make_s3(**domain, **key, querystring_auth=False)) is None


def test_google_signs(private_key):
    pytest.importorskip("google.cloud.storage")
    gcloud = importlib.import_module("storages.backends.gcloud")
    service_account = importlib.import_module("google.oauth2.service_account")
    account = {
        "client_email": "exports@example.com",
        "private_key": private_key.decode(),
        "token_uri": "https://example.com",
    }
    options = {
        "bucket_name": "exports",
        "credentials": service_account.Credentials.from_service_account_info(account),
        "project_id": "p",
    }
    query = parse_query(sign(gcloud.GoogleCloudStorage(**options)))
    assert query["X-Goog-Signature"]
    assert query["X-Goog-Expires"] == "60"
    assert query["response-content-disposition"] == content_disposition('"é" 1.csv')
    assert query["response-content-type"] == "text/csv"
    for unsigned in ({"querystring_auth": False}, {"default_acl": "publicRead"}):
        assert sign(gcloud.GoogleCloudStorage(**options, **unsigned)) is None


@ignore_utcnow
def test_azure_signs():
    pytest.importorskip("azure.storage.blob")
    azure = importlib.import_module("storages.backends.azure_storage")
    options = {"account_name": "exports", "azure_container": "c"}
    query = parse_query(sign(azure.AzureStorage(**options, account_key="a2V5")))
    assert query["sig"]
    assert query["rscd"] == content_disposition('"é" 1.csv')
    assert query["rsct"] == "text/csv"
    left = datetime.fromisoformat(query["se"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert sign(azure.AzureStorage(**options)) is None


@pytest.mark.parametrize("make", [FileSystemStorage, InMemoryStorage])
def test_storage_that_signs_nothing(make):
    assert sign(make(base_url="/media/")) is None
    assert sign(make(base_url="/media/?Signature=")) is None


def test_storage_that_signs_by_itself():
    class Signing(InMemoryStorage):
        def sign_url(self, name, *, filename, content_type, expires_in):
            return f"{name}|{filename}|{content_type}|{expires_in}"

    assert sign(Signing(), expires_in=timedelta(hours=1)) == 'a/rows.csv|"é" 1.csv|text/csv|3600'
