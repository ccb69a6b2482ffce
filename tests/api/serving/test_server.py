from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import psutil
import pytest

from api.serving import __file__ as package

pytestmark = pytest.mark.external

DATA = random.Random(5).randbytes(3_000_000)
LARGE = 300 << 20
SERVER = Path(package).with_name("server.py")


class Served:
    """A file that a process of its own serves."""

    def __init__(self, path, port, pid):
        self.path = path
        self.port = port
        self.process = psutil.Process(pid)

    def get(self, url="/", *, method="GET", **headers):
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            return ask(connection, url, method=method, **headers)

    def count(self, **headers):
        """Return how many bytes arrive, and keep none."""
        count = 0
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            while chunk := response.read(1 << 20):
                count += len(chunk)
        return count

    @contextmanager
    def hold(self):
        """Ask for the file, and read no more than the beginning of it."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with client:
            client.connect(("127.0.0.1", self.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(1000).split(b"\r\n")[0].endswith(b" 200 OK")
            yield client

    def get_position(self):
        """Return how far the file is read, or None if it is not open."""
        for file in self.process.open_files():
            if file.path == str(self.path):
                return file.position
        return None

    def get_peak(self):
        """Return the most memory that the server ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def ask(connection, url="/", *, method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, url, headers=headers)
    response = connection.getresponse()
    response.body = response.read()
    return response


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def serve(interface, path, *middleware):
    command = [sys.executable, "-W", "error", SERVER, interface, path, *middleware]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Served(path, int(process.stdout.readline()), process.pid)
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def interface(request):
    return request.param


@pytest.fixture(scope="module")
def small(interface, tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "rows.csv"
    path.write_bytes(DATA)
    middleware = ["gzip.GZipMiddleware", "http.ConditionalGetMiddleware"]
    with serve(interface, path, *[f"django.middleware.{name}" for name in middleware]) as served:
        yield served


@pytest.fixture
def large(interface, tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(LARGE)
    with serve(interface, path) as served:
        yield served


def test_headers_and_bytes(small):
    whole = small.get()
    assert whole.status == 200
    assert whole.body == DATA
    assert whole.headers["Content-Length"] == str(len(DATA))
    assert whole.headers["Content-Disposition"] == 'attachment; filename="rows.csv"'
    head = small.get(method="HEAD")
    assert head.body == b""
    ignored = {"date", "connection"}
    sent, asked = (
        {(name, value) for name, value in response.getheaders() if name.lower() not in ignored}
        for response in (whole, head)
    )
    assert sent == asked
    assert small.get_position() is None


@pytest.mark.parametrize("piece", [300_000, 2_999_999])
def test_pieces_make_the_file(small, piece):
    """Break every answer off, and go on where it broke, as clients do."""
    got = b""
    while len(got) < len(DATA):
        with closing(HTTPConnection("127.0.0.1", small.port, timeout=20)) as connection:
            headers = {"Range": f"bytes={len(got)}-", "If-Range": '"v1"'}
            connection.request("GET", "/", headers=headers)
            response = connection.getresponse()
            assert response.status == 206
            got += response.read(piece)
    assert got == DATA


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ({}, 200, DATA),
        ({"Range": "bytes=1000-1999"}, 206, DATA[1000:2000]),
        ({"Range": "bytes=9999999-"}, 416, b""),
        ({"Range": "bytes=" + "0-1," * 10_000}, 200, DATA),
        ({"If_None_Match": '"v1"'}, 304, b""),
        ({"If_Match": '"v2"'}, 412, b""),
    ],
)
def test_nothing_is_compressed(small, method, headers, status, body):
    response = small.get(method=method, Accept_Encoding="gzip", **headers)
    if method == "HEAD":
        status, body = (200 if "Range" in headers else status), b""
    assert response.status == status
    assert response.body == body
    assert response.headers["Content-Encoding"] == "identity"
    assert response.headers["ETag"] == '"v1"'


def test_connection_serves_on(small):
    with closing(HTTPConnection("127.0.0.1", small.port, timeout=20)) as connection:
        for _ in range(3):
            assert ask(connection, method="HEAD").body == b""
            assert ask(connection, If_None_Match='"v1"').body == b""
            assert ask(connection, Range="bytes=9999999-").body == b""
            assert ask(connection, Range="bytes=-5").body == DATA[-5:]
            assert ask(connection).body == DATA


def test_file_that_grew_is_sent_as_it_was(small):
    response = small.get("/?size=2000000")
    assert response.headers["Content-Length"] == "2000000"
    assert response.body == DATA[:2_000_000]


def test_file_that_shrinks_breaks_the_connection(large):
    with closing(HTTPConnection("127.0.0.1", large.port, timeout=20)) as connection:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read(1000)
        os.truncate(large.path, LARGE // 2)
        with pytest.raises(IncompleteRead):
            response.read()
    wait_until(lambda: large.get_position() is None)


def test_memory_is_constant(large):
    large.get(Range="bytes=0-1")
    before = large.get_peak()
    assert large.count() == LARGE
    assert large.count(Range="bytes=1-") == LARGE - 1
    assert large.get_peak() - before < 20 << 20


def test_slow_client_holds_little_and_lets_go(large):
    with large.hold():
        wait_until(large.get_position)
        time.sleep(0.5)
        assert large.get_position() < 16 << 20
    wait_until(lambda: large.get_position() is None)
