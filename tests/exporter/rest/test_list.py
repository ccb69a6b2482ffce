"""Which exports a list has, in which order, with which keys."""

from __future__ import annotations

import datetime
import json
from urllib.parse import quote

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_infra.exporter.models import ExportState, QueryExport
from exporter.rest.rows import LIST, get_detail, get_ids, make_export, make_file

pytestmark = pytest.mark.django_db

MORNING = datetime.datetime(2026, 3, 1, 8, tzinfo=datetime.UTC)
ORDERED = [
    "id",
    "name",
    "state",
    "format",
    "created_by",
    "created_at",
    "start_time",
    "finished_at",
    "row_count",
    "file_size",
]


@pytest.fixture
def exports(user):
    """One in each state, with numbers that tell them apart."""
    made = {state: make_export(user, state) for state in ExportState}
    made["success"].update(name="authors", row_count=100, file_size=5000, start_time=MORNING)
    noon = MORNING + datetime.timedelta(hours=4)
    made["fail"].update(name="own-books", row_count=7, start_time=noon)
    made["processing"].update(row_count=50, start_time=noon)
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", set(ExportState)),
        ("?state=", set(ExportState)),
        ("?state=success", {"success"}),
        ("?state=success&state=fail", {"success", "fail"}),
        ("?state=fail&state=fail", {"fail"}),
        ("?" + "&".join(f"state={state}" for state in ExportState), set(ExportState)),
        ("?format=csv", set(ExportState)),
        ("?format=json", set(ExportState)),
        ("?name=authors", {"success"}),
        ("?name=authors&name=own-books", {"success", "fail"}),
        ("?row_count_min=50", {"success", "processing"}),
        ("?row_count_max=50", {"processing", "fail"}),
        ("?row_count_min=8&row_count_max=99", {"processing"}),
        ("?row_count_min=9&row_count_max=8", set()),
        ("?file_size_min=1", {"success"}),
        ("?file_size_max=4999", set()),
        ("?file_size_min=9223372036854775807", set()),
        ("?start_time_after=2026-03-01T12:00:00Z", {"fail", "processing"}),
        ("?start_time_before=2026-03-01T08:00:00Z", {"success"}),
        ("?start_time_before=2026-03-01T09:00:00%2B01:00", {"success"}),
        ("?start_time_before=2026-03-01T08:00:00", {"success"}),
        ("?start_time_before=2026-02-28T15:30:00-16:30", {"success"}),
        ("?start_time_after=2026-03-02T11:59:00%2B23:59", {"fail", "processing"}),
        ("?search=Author", set(ExportState)),
        ("?search=nope", set()),
        ("?search=%25", set()),
        ("?state=fail&row_count_max=7&search=author", {"fail"}),
        # Nothing of these is a parameter.
        ("?nope=1", set(ExportState)),
        ("?id=nope", set(ExportState)),
        ("?user=1", set(ExportState)),
        ("?owner_key=1", set(ExportState)),
        ("?token=x", set(ExportState)),
        ("?error_log=x", set(ExportState)),
        ("?created_by__password__startswith=x", set(ExportState)),
        ("?state__in=fail", set(ExportState)),
        ("?file_path__startswith=x", set(ExportState)),
    ],
)
def test_parameters_filter(login, exports, other, query, expected):
    for state in ExportState:
        make_export(other, state)
    assert set(get_ids(login.get(LIST + query))) == {exports[state].pk for state in expected}


@pytest.mark.parametrize(
    "query",
    [
        "state=nope",
        "state=SUCCESS",
        "state=success,fail",
        "state=success&state=nope",
        "format=pdf",
        "format=../x",
        "name=nope",
        "created_by=x",
        "created_by=1.5",
        "created_by=1%20OR%201=1",
        "created_by=99999999999999999999999",
        "created_by=" + "9" * 60_000,
        "start_time_after=yesterday",
        "start_time_after=10000-01-01T00:00:00Z",
        "start_time_before=0001-01-01T00:00:00%2B14:00",
        "row_count_min=x",
        "row_count_min=1.5",
        "row_count_max=1e99999999",
        "file_size_min=NaN",
        "file_size_max=" + "9" * 5000,
        "search=" + "x" * 5000,
        "search=%00",
        "ordering=nope",
        "ordering=created_by__password",
        "ordering=-created_by__username",
        "ordering=token",
        "ordering=file_path",
        "ordering=%3F",
        "ordering=pk",
        "fields=nope",
        "fields=token",
        "fields=created_by__password",
        "fields=created_by(password)",
        "fields=metadata(nope)",
        "fields=metadata(",
        "fields=id)",
        "page_size=0",
        "page_size=-1",
        "page_size=x",
        "cursor=x",
        "cursor=%00",
    ],
    ids=lambda query: query[:50],
)
def test_an_unknown_value_is_a_bad_request_of_its_parameter(login, exports, query):
    response = login.get(f"{LIST}?{query}")
    assert response.status_code == 400
    (name,) = response.json()
    assert query.startswith(name)


@pytest.mark.parametrize("name", ["created_by"])
def test_an_owner_filters_what_one_sees(client, viewer, user, other, name):
    own, foreign = make_export(user), make_export(other)
    client.force_login(viewer)
    assert get_ids(client.get(LIST, {name: user.pk})) == [own.pk]
    assert get_ids(client.get(LIST, {name: other.pk})) == [foreign.pk]
    assert get_ids(client.get(LIST, {name: other.pk + 1000})) == []
    client.force_login(user)
    assert get_ids(client.get(LIST, {name: other.pk})) == []


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("sign", ["", "-"])
def test_every_column_orders_and_pages(login, exports, user, name, sign):
    for number in range(8):
        make_export(user).update(row_count=number % 3, file_size=None if number % 2 else number)
    whole = get_ids(login.get(LIST, {"ordering": sign + name}))
    column = F(name).desc(nulls_last=True) if sign else F(name).asc(nulls_last=True)
    assert whole == list(
        QueryExport.objects.order_by(column, f"{sign}pk").values_list("pk", flat=True)
    )
    url, paged = f"{LIST}?ordering={sign}{name}&page_size=5", []
    while url:
        response = login.get(url)
        paged += get_ids(response)
        url = response.json()["next"]
    assert paged == whole


def test_an_order_by_owner_says_nothing_of_users(client, viewer, user, monkeypatch):
    monkeypatch.setattr(type(user)._meta, "ordering", ["username"])
    for _ in range(3):
        make_export(user)
    client.force_login(viewer)
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"ordering": "created_by"})
    assert "username" not in queries[-1]["sql"]


def test_several_columns_order(login, exports):
    found = get_ids(login.get(f"{LIST}?ordering=-start_time,row_count"))
    expected = ["fail", "processing", "success", "scheduled"]
    assert found == [exports[state].pk for state in expected]


def test_no_page_repeats_or_skips_while_jobs_come_and_go(login, user):
    now = timezone.now()
    exports = [make_export(user, created_at=now) for _ in range(9)]
    expected = get_ids(login.get(LIST))
    assert len(expected) == len(exports)
    first = login.get(LIST, {"page_size": 3})
    assert get_ids(first) == expected[:3]
    make_export(user)
    QueryExport.objects.get(pk=expected[1]).delete()
    QueryExport.objects.get(pk=expected[4]).delete()
    second = login.get(first.json()["next"])
    assert get_ids(second) == [expected[3], expected[5], expected[6]]
    third = login.get(second.json()["next"])
    assert get_ids(third) == expected[7:]
    assert third.json()["next"] is None
    assert get_ids(login.get(third.json()["previous"])) == get_ids(second)


@pytest.mark.parametrize("size", [10, 500])
@pytest.mark.parametrize("query", ["", "?ordering=-row_count", "?fields=id", "?state=fail"])
def test_a_list_takes_one_query(login, user, django_assert_num_queries, size, query):
    now = timezone.now()
    QueryExport.objects.bulk_create(
        QueryExport(id=f"x-{number}", path_key=f"{number}", created_by=user, created_at=now)
        for number in range(size)
    )
    # The session, the user and the exports.
    with django_assert_num_queries(3):
        response = login.get(LIST + query)
    assert response.status_code == 200


def test_a_page_of_many_takes_one_query_too(login, user, django_assert_num_queries):
    for _ in range(30):
        make_export(user, ExportState.FAIL)
    second = login.get(LIST, {"page_size": 10}).json()["next"]
    with django_assert_num_queries(3):
        assert len(get_ids(login.get(second))) == 10


# ?fields=


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ("id", {"id"}),
        ("id,state", {"id", "state"}),
        ("metadata(row_count,file_size)", {"metadata"}),
        ("download_url", {"download_url"}),
        ("estimated_seconds_left", {"estimated_seconds_left"}),
    ],
)
def test_fields_choose_keys(login, exports, django_assert_num_queries, fields, keys):
    # Who may download is a matter of two more queries, of permissions.
    count = 5 if "download_url" in keys else 3
    for url in (LIST, get_detail(exports["success"])):
        with django_assert_num_queries(count):
            data = login.get(url, {"fields": fields}).json()
        rows = data.get("results", [data])
        for row in rows:
            assert set(row) == keys
            if "metadata" in keys:
                assert set(row["metadata"]) == {"row_count", "file_size"}


def test_fields_choose_columns(login, exports):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        login.get(LIST, {"fields": "id,metadata(row_count)"})
    statement = queries[-1]["sql"]
    assert "row_count" in statement
    for column in ("error_log", "params", "failures", "file_path", "state"):
        assert column not in statement.partition(" FROM ")[0]


def test_the_whole_row_is_not_read_for_a_whole_answer(login, exports):
    with CaptureQueriesContext(connection) as queries:
        login.get(LIST)
    statement = queries[-1]["sql"].partition(" FROM ")[0]
    for column in ("params", "failures", "token", "path_key"):
        assert column not in statement


# Polling


def test_an_answer_that_is_still_true_is_not_sent_again(login, user, django_assert_num_queries):
    export = make_export(user, ExportState.PROCESSING)
    for url in (LIST, get_detail(export), f"{LIST}available/"):
        first = login.get(url)
        assert first["Cache-Control"] == "private, no-cache"
        second = login.get(url, headers={"if-none-match": first["ETag"]})
        assert (second.status_code, second.content) == (304, b"")
        assert second["ETag"] == first["ETag"]
    url = get_detail(export)
    second = login.get(url, headers={"if-none-match": login.get(url)["ETag"]})
    assert (second.status_code, second["Retry-After"]) == (304, "2")
    with django_assert_num_queries(3):
        login.get(get_detail(export), headers={"if-none-match": "x"})
    etag = login.get(get_detail(export))["ETag"]
    export.beat(row_count=5, progress_percent=50)
    assert login.get(get_detail(export), headers={"if-none-match": etag}).status_code == 200


def test_two_users_share_no_answer(client, user, other):
    etags = set()
    for each in (user, other):
        client.force_login(each)
        make_export(each)
        response = client.get(LIST)
        etags.add(response["ETag"])
        assert {"Cookie", "Accept"} <= set(response["Vary"].split(", "))
    assert len(etags) == 2


@pytest.mark.parametrize(
    ("percent", "seconds", "expected", "interval"),
    [
        (None, 10, None, "2"),
        (0, 10, None, "2"),
        (50, 10, 10, "5"),
        (99, 99, 1, "1"),
        (10, 1, 9, "5"),
        (25, 1, 3, "3"),
        (50, -10, 0, "1"),
    ],
)
def test_how_long_it_still_takes(login, user, percent, seconds, expected, interval):
    export = make_export(user, ExportState.PROCESSING)
    export.update(
        progress_percent=percent,
        start_time=MORNING,
        heartbeat_at=MORNING + datetime.timedelta(seconds=seconds),
    )
    response = login.get(get_detail(export))
    assert response.json()["estimated_seconds_left"] == expected
    assert response["Retry-After"] == interval
    assert make_file(user).estimated_seconds_left is None


# Leaks


def test_no_answer_has_more_than_the_listed_keys(client, viewer, other):
    client.force_login(viewer)
    export = make_export(other, ExportState.FAIL, file_path="hidden-folder/users.csv")
    text = client.get(get_detail(export)).content.decode()
    for secret in ("hidden-folder", "users.csv", "token", "password", "owner_key", "grace"):
        assert secret not in text


def test_cursors_tell_no_more_than_the_rows(login, user):
    for _ in range(3):
        make_export(user, file_path=f"hidden-{_}.csv")
    for name in ORDERED:
        data = login.get(LIST, {"ordering": name, "page_size": 1}).json()
        assert "hidden" not in json.dumps(data)


@pytest.mark.sample(30)
@pytest.mark.parametrize("text", ["'", '"', "\0", "😀", "1 OR 1=1", "%%", "{}", "$(id)", "\ud800"])
@pytest.mark.parametrize(
    "name",
    [
        "state",
        "format",
        "name",
        "created_by",
        "start_time_after",
        "row_count_min",
        "file_size_max",
        "search",
        "ordering",
        "fields",
        "cursor",
        "page_size",
        "nope",
    ],
)
def test_no_text_in_a_parameter_is_a_server_error(login, exports, name, text):
    value = quote(text.encode(errors="surrogatepass"))
    assert login.get(f"{LIST}?{name}={value}").status_code in {200, 400}


# Closed doors


def test_the_filter_by_name_tells_no_name_that_one_may_not_start(login, user, permit, viewer):
    response = login.get(f"{LIST}?name=nope")
    assert response.json() == {
        "name": ["'nope' is not a choice. Choose from: own-books, stalling-authors."]
    }
    assert login.get(f"{LIST}?name=authors").status_code == 400
    assert "authors" not in login.options(LIST).content.decode().replace("stalling-authors", "")
    permit(user, "view_author")
    assert login.get(f"{LIST}?name=authors").status_code == 200
    login.force_login(viewer)
    assert "authors, own-books" in login.get(f"{LIST}?name=nope").json()["name"][0]


def test_the_filter_by_name_knows_those_of_ones_own_exports(login, user, other):
    own = make_export(user, name="retired")
    make_export(other, name="secret")
    assert get_ids(login.get(f"{LIST}?name=retired")) == [own.pk]
    response = login.get(f"{LIST}?name=secret")
    assert response.status_code == 400
    assert "retired" in response.json()["name"][0]


@pytest.mark.parametrize(
    ("word", "is_found"),
    [
        ("tenant", False),
        ("tenant-7/", False),
        ("7/plan", False),
        ("/", False),
        ("plan", True),
        ("PLAN", True),
        ("a+(b)", True),
        ("[plan", True),
        (".csv", True),
        ("?csv", False),
        ("^", False),
        ("$", False),
        ("plan.*", False),
    ],
)
def test_the_search_does_not_tell_the_folder_of_a_file(login, user, word, is_found):
    export = make_export(user, file_path="tenant-7/[plan a+(b).csv")
    expected = [export.pk] if is_found else []
    assert get_ids(login.get(f"{LIST}?search={quote(word)}")) == expected
