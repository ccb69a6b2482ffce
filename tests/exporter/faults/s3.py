"""An S3 server of our own, which answers as badly as a test asks it to."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from storages.backends.s3 import S3Storage
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "exports"
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
PART_SIZE = 5 << 20  # the least that S3 allows
UPLOAD_ID = re.compile(rb"<UploadId>(?P<id>[^<]+)</UploadId>")
UPLOAD = re.compile(
    rb"(?P<head><UploadId>(?P<id>[^<]+)</UploadId>(?:(?!</Upload>).)*<Initiated>)[^<]+", re.DOTALL
)


class QuietHandler(WSGIRequestHandler):
    def log(self, *args):
        """Say nothing."""


class S3Server:
    """Moto's S3, whose answers ``fault`` may spoil.

    It gets the name of an operation and how often it was asked for, from 1, and returns None,
    a status ("500 ...") to answer instead of acting, or "cut" to act and not to answer.
    """

    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)

        class Handler(QuietHandler):
            def date_time_string(handler, timestamp=None):
                return format_datetime(self.now, usegmt=True)

        self.server = make_server(
            "127.0.0.1", 0, self.answer, threaded=True, request_handler=Handler
        )
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.begun = {}  # uploads, of which moto keeps no time
        self.reset()

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", **CREDENTIALS
        )
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.client.close()

    def reset(self):
        self.fault = lambda operation, count: None
        self.operations = []
        self.lead = timedelta(0)  # of its clock

    def clear(self):
        self.reset()
        for upload in self.list_uploads():
            self.client.abort_multipart_upload(
                Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        for name in self.list_objects():
            self.client.delete_object(Bucket=BUCKET, Key=name)
        self.reset()

    def answer(self, environ, start_response):
        operation = get_operation(environ)
        self.operations.append(operation)
        fault = self.fault(operation, self.operations.count(operation))
        if fault == "cut":
            body = self.act(operation, environ, lambda *args: None)
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return body
        if fault:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(fault, [("Content-Type", "application/xml"), ("Content-Length", "0")])
            return []
        return self.act(operation, environ, start_response)

    def act(self, operation, environ, start_response):
        def start(status, headers, *rest):
            # The server tells the time by itself.
            told = [header for header in headers if header[0].lower() != "date"]
            return start_response(status, told, *rest)

        body = b"".join(self.app(environ, start))
        if operation == "Begin" and (match := UPLOAD_ID.search(body)):
            self.begun[match["id"]] = self.now
        elif operation == "ListUploads":
            # Of the same length, which has been told already.
            body = UPLOAD.sub(lambda match: match["head"] + self.tell_begin(match["id"]), body)
        return [body]

    @property
    def now(self):
        return datetime.now(UTC) + self.lead

    def tell_begin(self, upload_id):
        return self.begun[upload_id].isoformat(timespec="milliseconds")[:23].encode() + b"Z"

    def list_objects(self):
        listing = self.client.list_objects_v2(Bucket=BUCKET)
        return [item["Key"] for item in listing.get("Contents", [])]

    def list_uploads(self):
        return self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])

    def begin_upload(self, name):
        """Begin an upload as somebody else, and return its id."""
        return self.client.create_multipart_upload(Bucket=BUCKET, Key=name)["UploadId"]

    def list_upload_ids(self):
        return [upload["UploadId"] for upload in self.list_uploads()]

    def read(self, name):
        return self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()

    def set_versioning(self, status):
        self.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})

    def put(self, name, content):
        self.client.put_object(Bucket=BUCKET, Key=name, Body=content)

    def get_storage(self, *, attempts=1):
        """Return the definition of a storage in the bucket, as STORAGES has it."""
        return {
            "BACKEND": f"{__name__}.BucketStorage",
            "OPTIONS": {
                "bucket_name": BUCKET,
                "endpoint_url": self.url,
                "region_name": "us-east-1",
                "access_key": "test",
                "secret_key": "test",
                "attempts": attempts,
            },
        }


class BucketStorage(S3Storage):
    """Take a setting that can be told to another process, and send small parts."""

    def __init__(self, *, attempts, **options):
        retries = {"total_max_attempts": attempts, "mode": "standard"}
        super().__init__(
            client_config=Config(
                s3={"addressing_style": "path"}, signature_version="s3v4", retries=retries
            ),
            transfer_config=TransferConfig(
                multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE
            ),
            **options,
        )


def get_operation(environ):
    """Return the name of what a request asks for."""
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if "uploads" in query:
        return "ListUploads" if method == "GET" else "Begin"
    if "uploadId" in query:
        return {"PUT": "Part", "POST": "Complete", "DELETE": "Abort"}[method]
    return {"PUT": "Put", "HEAD": "Head", "DELETE": "Delete", "GET": "Get"}.get(method, method)
