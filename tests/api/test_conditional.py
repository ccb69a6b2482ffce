from __future__ import annotations

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware
from django.middleware.http import ConditionalGetMiddleware
from django.test import Client
from django.urls import path
from django.utils.http import http_date
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from django_infra.api.conditional import ConditionalResponseMixin

CONTENT = {"rows": ["x"] * 500}
OTHER = {"rows": ["y"] * 500}


class DataView(ConditionalResponseMixin, APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        return Response(OTHER if "other" in request.GET else CONTENT)

    def post(self, request):
        return Response(CONTENT)


class OtherRenderer(JSONRenderer):
    media_type = "application/x.json"


class TypedView(DataView):
    renderer_classes = (JSONRenderer, OtherRenderer)


class OwnView(DataView):
    def get(self, request):
        headers = {
            "ETag": '"mine"',
            "Cache-Control": "max-age=60",
            "Last-Modified": http_date(10**9),
            "Vary": "X-Own",
            "Retry-After": "5",
        }
        return Response(CONTENT, headers=headers)


class FailingView(DataView):
    def get(self, request):
        raise APIException


class CreatedView(DataView):
    def get(self, request):
        return Response(CONTENT, status=201)


class PlainView(DataView):
    def get(self, request):
        return HttpResponse(b"plain")


class StreamView(DataView):
    def get(self, request):
        return StreamingHttpResponse([b"streamed"])


urlpatterns = [
    path("data/", DataView.as_view()),
    path("typed/", TypedView.as_view()),
    path("own/", OwnView.as_view()),
    path("failing/", FailingView.as_view()),
    path("created/", CreatedView.as_view()),
    path("plain/", PlainView.as_view()),
    path("stream/", StreamView.as_view()),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(
    params=[(), (ConditionalGetMiddleware,), (GZipMiddleware, ConditionalGetMiddleware)],
    ids=["alone", "conditional", "conditional and gzip"],
)
def middleware(request, settings):
    names = [f"{each.__module__}.{each.__qualname__}" for each in request.param]
    settings.MIDDLEWARE = [*names, *settings.MIDDLEWARE]


def get(url="/data/", method="get", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return getattr(Client(), method)(url, headers={"accept-encoding": "gzip", **headers})


@pytest.mark.parametrize("method", ["get", "head"])
def test_what_the_client_has_is_not_sent_again(middleware, method):
    first = get(method=method)
    assert first.status_code == 200
    assert first["ETag"].startswith('W/"')
    assert first["Cache-Control"] == "private, no-cache"
    again = get(method=method, if_none_match=first["ETag"])
    assert again.status_code == 304
    assert again.content == b""
    for name in ("ETag", "Cache-Control"):
        assert again[name] == first[name]
    for response in (first, again):
        assert {"Cookie", "Authorization"} <= set(response["Vary"].split(", "))


@pytest.mark.parametrize(
    "etags",
    ["*", '"x", {etag}', "{etag}", '{strong}, "x"', "{etag}" + ', "x"' * 50_000],
    ids=lambda value: value[:20],
)
def test_an_etag_that_matches(etags):
    etag = get()["ETag"]
    header = etags.format(etag=etag, strong=etag.removeprefix("W/"))
    assert get(if_none_match=header).status_code == 304


@pytest.mark.parametrize(
    "etags",
    ["", "x", '"', 'W/"', 'W/"x', '"x", "y', "W/*", ",,,", "\\", "é", '"' * 100_000, "W/" * 50_000],
    ids=lambda value: value[:10],
)
def test_an_etag_that_matches_nothing(middleware, etags):
    response = get(if_none_match=etags)
    assert response.status_code == 200


def test_no_naughty_string_is_an_etag(naughty_strings):
    for text in naughty_strings:
        if text.strip() != "*":
            assert get(if_none_match=text).status_code == 200, ascii(text)


def test_other_content_has_another_etag(middleware):
    etag = get()["ETag"]
    assert get("/data/?other", if_none_match=etag).status_code == 200
    assert get()["ETag"] == etag


def test_the_media_type_is_part_of_the_etag():
    one, other = (get("/typed/", accept=f"application/{name}") for name in ("json", "x.json"))
    assert one.content == other.content
    assert one["ETag"] != other["ETag"]


def test_what_the_view_has_set_stays(middleware):
    response = get("/own/")
    assert response["ETag"].removeprefix("W/") == '"mine"'
    assert response["Cache-Control"] == "max-age=60"
    assert {"X-Own", "Cookie", "Authorization"} <= set(response["Vary"].split(", "))
    again = get("/own/", if_none_match='"mine"')
    assert again.status_code == 304
    assert again["Cache-Control"] == "max-age=60"
    assert again["Last-Modified"] == http_date(10**9)


def test_a_date_that_the_view_has_set_counts():
    assert get("/own/", if_modified_since=http_date(10**9)).status_code == 304
    assert get("/own/", if_modified_since=http_date(10**9 - 1)).status_code == 200
    assert get("/own/", if_modified_since="nonsense").status_code == 200


@pytest.mark.parametrize(
    ("url", "method", "status"),
    [("/failing/", "get", 500), ("/created/", "get", 201), ("/data/", "post", 200)],
)
def test_other_responses_are_left_alone(url, method, status):
    response = get(url, method, if_none_match="*")
    assert response.status_code == status
    assert "ETag" not in response
    assert "Cache-Control" not in response
    assert {"Cookie", "Authorization"} <= set(response["Vary"].split(", "))


def test_a_plain_response_has_an_etag():
    etag = get("/plain/")["ETag"]
    assert get("/plain/", if_none_match=etag).status_code == 304


def test_a_stream_is_not_read():
    response = get("/stream/", if_none_match="*")
    assert response.status_code == 200
    assert "ETag" not in response
    assert b"".join(response.streaming_content) == b"streamed"


def test_the_browsable_api_has_one_too():
    response = get(accept="text/html")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
    assert response["ETag"]
