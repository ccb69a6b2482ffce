"""Serve one file by WSGI or ASGI, in a process of its own, and print the port.

``python server.py wsgi|asgi PATH [MIDDLEWARE ...]``
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
import uvicorn
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.files import File
from django.core.wsgi import get_wsgi_application
from django.urls import path

from django_infra.api.files import FileStreamResponse

INTERFACE, PATH, *MIDDLEWARE = sys.argv[1:]


def download(request):
    """Send the file, as if it had the size that the query asks for."""
    size = request.GET.get("size")
    return FileStreamResponse(
        request,
        File(Path(PATH).open("rb")),
        filename="rows.csv",
        content_type="text/csv",
        size=int(size) if size else None,
        etag='"v1"',
    )


urlpatterns = [path("", download)]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


def serve_wsgi():
    with make_server("127.0.0.1", 0, get_wsgi_application(), Server, QuietHandler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def serve_asgi():
    config = uvicorn.Config(get_asgi_application(), lifespan="off", log_level="critical")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    settings.configure(
        ALLOWED_HOSTS=["*"], MIDDLEWARE=MIDDLEWARE, ROOT_URLCONF=__name__, SECRET_KEY="tests"
    )
    django.setup()
    {"wsgi": serve_wsgi, "asgi": serve_asgi}[INTERFACE]()
