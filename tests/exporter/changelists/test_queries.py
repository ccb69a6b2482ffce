"""What a query string of a change list may be."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_infra.exporter.changelists.rows import Listing, clean_query
from django_infra.exporter.exceptions import InvalidParams
from django_infra.exporter.models import QueryExport
from testapp.models import Author

pytestmark = pytest.mark.django_db

TOO_LONG = [
    "q=" + "a+" * 300_000,
    "q=" + "a" * 8000,
    "x" * 1_000_000,
    "publisher__id__in=" + ",".join(map(str, range(100_000))),
]


@pytest.mark.parametrize("query", TOO_LONG, ids=["words", "word", "nothing", "keys"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_query_that_no_url_holds_is_refused_before_it_is_read(admin_client, method, query):
    url = reverse("admin:exporter_queryexport_change_list", args=["testapp", "author"])
    data = {"query": query, "columns": ["id"], "headers": "names", "format": "csv"}
    with CaptureQueriesContext(connection) as queries:
        response = getattr(admin_client, method)(url, data)
    assert response.status_code == 302
    assert response.url == reverse("admin:testapp_author_changelist")
    assert not any("testapp_author" in query["sql"] for query in queries)
    assert not QueryExport.objects.exists()


def test_a_change_list_gets_a_request_of_its_own_that_admins_may_change(rf, admin_user):
    request = rf.post("/anywhere/?page=1", {"columns": "id"})
    request.user = admin_user
    listing = Listing(admin.site.get_model_admin(Author), request, "q=ada&p=3")
    own = listing.get_own_request()
    assert (own.method, own.path) == ("GET", reverse("admin:testapp_author_changelist"))
    own.GET = QueryDict()
    assert listing.get_own_request().GET == {"q": ["ada"]}
    assert (request.method, request.GET) == ("POST", {"page": ["1"]})


def test_a_query_as_long_as_a_url_is_read():
    assert clean_query("q=" + "a" * 7998) == "q=" + "a" * 7998
    with pytest.raises(InvalidParams, match="has 8001 characters, but may have 8000, as many as"):
        clean_query("q=" + "a" * 7999)
