from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.db.models.functions import Upper
from django.test import RequestFactory
from django.urls import set_script_prefix

from django_infra.exporter.changelists.export import NAME, renew_params
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.changelists.rows import clean_query
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidExport, InvalidParams
from django_infra.exporter.export import enqueue_export, schedule_export
from django_infra.exporter.jobs.worker import run_job
from django_infra.exporter.models import QueryExport
from testapp.models import Author, Book, Note, Publisher, SpecialProfile

# What is handed over after the commit is to run.
pytestmark = pytest.mark.django_db(transaction=True)

QUERIES = [
    (Author, ""),
    (Author, "q=author+3"),
    # Through a relation to many, whose duplicates the change list drops.
    (Author, "q=title"),
    (Author, "books__title=Title+0"),
    (Author, "publisher__isnull=True"),
    (Author, "o=-3.1"),
    (Author, "o=3.-2&q=title"),
    (Author, "publisher__id__exact={publisher}&q=author&o=1"),
    (Author, "all="),
    (Author, "p=2"),
    (Book, ""),
    (Book, "editors__id__exact={author}"),
    (Book, "editors__id__exact={author}&q=author&o=2.-1"),
    (Book, "author__id__exact={author}"),
    (Book, "o=1"),
    (Book, "q=none+such"),
]


@pytest.mark.parametrize(("model", "query"), QUERIES)
def test_the_file_has_the_rows_of_the_change_list_in_its_order(
    library, export, get_shown, model, query
):
    query = query.format(
        author=Book.objects.first().author_id, publisher=Publisher.objects.first().pk
    )
    shown = get_shown(model, query)
    assert [int(key) for (key,) in export(model, query=query)[1:]] == shown
    assert bool(shown) is ("such" not in query)


@pytest.mark.parametrize("query", ["", "q=title", "books__title=Title+0", "o=-3"])
def test_rows_that_are_alike_in_the_chosen_columns_are_all_there(library, export, get_shown, query):
    rows = export(Author, query=query, columns=["name"])[1:]
    names = dict(Author.objects.values_list("pk", "name"))
    assert [name for (name,) in rows] == [names[key] for key in get_shown(Author, query)]
    assert len(rows) > len(set(map(tuple, rows)))


@pytest.mark.parametrize("query", ["", "q=author", "q=title"])
def test_annotations_are_those_of_the_change_list(library, export, get_shown, query):
    rows = export(Author, query=query, columns=["id", "book_count", "loud"])[1:]
    expected = Author.objects.annotate(count=Count("books")).in_bulk(get_shown(Author, query))
    assert rows == [
        [str(each.pk), str(each.count), each.name.upper()]
        for each in map(expected.get, get_shown(Author, query))
    ]


def test_selected_rows_keep_the_order_and_the_filters(library, export, get_shown):
    keys = [str(key) for key in Author.objects.order_by("pk").values_list("pk", flat=True)[:6]]
    query = "publisher__isnull=True&o=-1"
    expected = [[str(key)] for key in get_shown(Author, query) if str(key) in keys]
    assert export(Author, query=query, selected=keys)[1:] == expected
    assert 0 < len(expected) < len(keys)


def test_nothing_selected_is_not_everything(library, export):
    assert export(Author, selected=[]) == [["id"]]


def test_the_rows_are_those_at_the_time_of_the_work(library, ask, staff):
    scheduled = schedule_export(NAME, ask(Author, query="q=author"), created_by=staff)
    Author.objects.create(name="Author late")
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == 26


def test_no_rows_are_counted_or_fetched_for_the_change_list(
    library, ask, staff, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20) as queries:
        ask(Author, query="q=author")
    assert not any("COUNT(*)" in each["sql"] for each in queries.captured_queries)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("nope=1", "refuses its filters"),
        ("id__nope=1", "refuses its filters"),
        ("publisher__authors__email__startswith=a", "refuses its filters"),
        ("publisher__id__exact=x", "refuses its filters"),
        ("q=%00", "NUL"),
        ("na%00me=1", "NUL"),
        ("published_at__year=x", "refuses its filters"),
        ("&".join(f"a{number}=1" for number in range(2000)), "too long"),
    ],
)
def test_a_query_that_the_change_list_refuses_is_refused(library, ask, query, fault):
    with pytest.raises(InvalidParams, match=fault):
        ask(Book if "published" in query else Author, query=query)
    assert not QueryExport.objects.exists()


@pytest.mark.parametrize("key", ["x", "1 OR 1=1", "9" * 40, ""])
def test_keys_that_no_row_has_are_refused_or_find_nothing(library, export, key):
    try:
        rows = export(Author, selected=[key])
    except InvalidParams:
        return
    assert rows == [["id"]]


def test_what_chooses_a_page_alone_is_left_out():
    assert clean_query("p=3&all=&e=1&q=a+b&_popup=1&_facets=True&x=1&x=2") == "q=a+b&x=1&x=2"


# Permissions


def withdraw(user, *codenames):
    user.user_permissions.remove(*Permission.objects.filter(codename__in=codenames))
    return type(user).objects.get(pk=user.pk)


@pytest.mark.parametrize(
    "change",
    [
        lambda user: withdraw(user, "view_author"),
        lambda user: type(user).objects.filter(pk=user.pk).update(is_staff=False),
        lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False),
    ],
    ids=["permission", "staff", "active"],
)
def test_who_may_not_view_the_model_exports_nothing(library, ask, staff, change):
    params = ask(Author)
    scheduled = schedule_export(NAME, params, created_by=staff)
    change(staff)
    user = type(staff).objects.get(pk=staff.pk)
    with pytest.raises(ExportNotPermitted):
        enqueue_export(NAME, params, created_by=user)
    with pytest.raises(ExportNotPermitted):
        run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert (scheduled.state, scheduled.file.name) == ("fail", "")


def test_a_change_list_without_the_action_is_not_exported(ask, admin_user):
    with pytest.raises(ExportNotPermitted, match="does not offer the action"):
        ask(Note, user=admin_user)


def test_nobody_is_not_trusted(library, ask):
    with pytest.raises(ExportNotPermitted, match="needs a user"):
        enqueue_export(NAME, ask(Author))


@pytest.mark.parametrize(
    "change",
    [
        {"site": "nope"},
        {"model": "testapp.Nope"},
        {"model": "testapp.Translation"},
        {"columns": []},
        {"columns": ["id", "id"]},
        {"headers": "nope"},
        {"options": {"nope": 1}},
        {"options": "x"},
        {"site": ["admin", "admin"]},
        {"nope": 1},
    ],
    ids=str,
)
def test_params_that_are_wrong_are_refused(library, ask, staff, change):
    with pytest.raises(InvalidExport):
        enqueue_export(NAME, ask(Author) | change, created_by=staff)
    assert not QueryExport.objects.exists()


# The request of a worker


class TenantRequest(ChangeListRequest):
    def capture(self, request):
        return {"tenant": request.tenant}

    def restore(self, request, captured):
        request.tenant = captured["tenant"]


def of_tenant(self, request):
    return Author.objects.filter(name=request.tenant)


def of_tenant_if_any(self, request):
    found = Author.objects.all()
    return found.filter(name=request.tenant) if hasattr(request, "tenant") else found


def of_other_tenant(self, request):
    return Author.objects.filter(name=getattr(request, "tenant", "Author 1"))


@pytest.fixture
def tenant(monkeypatch):
    """Let middleware add a tenant to each request of a user."""

    def set_tenant(get_queryset):
        monkeypatch.setattr(type(admin.site.get_model_admin(Author)), "get_queryset", get_queryset)
        monkeypatch.setattr("django.test.client.RequestFactory.request", add_tenant)

    request = RequestFactory.request

    def add_tenant(self, **kwargs):
        made = request(self, **kwargs)
        made.tenant = "Author 3"
        return made

    return set_tenant


@pytest.mark.parametrize("get_queryset", [of_tenant, of_tenant_if_any, of_other_tenant])
def test_rows_that_a_worker_would_not_have_are_refused(library, ask, tenant, get_queryset):
    tenant(get_queryset)
    with pytest.raises(InvalidParams, match="EXPORTER_ADMIN_REQUEST can carry the rest"):
        ask(Author)


def test_what_middleware_adds_can_be_carried(library, export, tenant, settings):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.TenantRequest"
    tenant(of_tenant)
    assert export(Author, columns=["name"])[1:] == [["Author 3"]] * 5


def test_who_runs_it_again_does_so_with_their_own_request(
    library, ask, tenant, settings, staff, admin_user
):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.TenantRequest"
    tenant(of_tenant)
    params = ask(Author, query="q=author", selected=["1"], columns=["name"])
    request = RequestFactory().post("/anywhere/")
    request.user, request.tenant = admin_user, "Author 1"
    renewed = renew_params(request, params)
    assert renewed["request"] == {"tenant": "Author 1"}
    assert renewed["statement"]["digest"] != params["statement"]["digest"]
    assert renewed.keys() == params.keys()
    same = params.keys() - {"request", "statement"}
    assert {key: renewed[key] for key in same} == {key: params[key] for key in same}


class NumberedRequest(ChangeListRequest):
    """Carries what JSON changes."""

    def capture(self, request):
        return {"names": {3: "Author 3"}}

    def restore(self, request, captured):
        request.tenant = captured["names"].get(3, "Author 1")


def test_what_is_carried_is_compared_as_the_worker_gets_it(library, ask, tenant, settings):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.NumberedRequest"
    tenant(of_tenant)
    with pytest.raises(InvalidParams, match="the query is another"):
        ask(Author)


def of_database_of_tenant(self, request):
    return Author.objects.using("other" if hasattr(request, "tenant") else "default")


@pytest.mark.django_db(databases=["default", "other"])
def test_the_same_rows_of_another_database_are_other_rows(ask, tenant):
    tenant(of_database_of_tenant)
    with pytest.raises(InvalidParams, match="database 'default' and not from 'other'"):
        ask(Author)


# Querysets of projects


@pytest.fixture
def show(monkeypatch):
    """Let the change list of authors have a queryset of its own, and two columns."""

    def show(get_queryset, **attributes):
        kind = type(admin.site.get_model_admin(Author))
        shout = admin.display(ordering="loud")(lambda self, author: author.name.upper())
        attributes = {"list_display": ["name", "shout"], "shout": shout, **attributes}
        for name, value in {"get_queryset": get_queryset, **attributes}.items():
            monkeypatch.setattr(kind, name, value)

    return show


def with_books(self, request):
    return Author.objects.filter(books__pages__gte=0).distinct()


@pytest.mark.parametrize("add", ["annotate", "alias"])
@pytest.mark.parametrize("query", ["", "o=2", "o=-2", "q=author+3&o=2"])
def test_rows_without_their_doubles_have_their_annotations(
    library, export, get_shown, show, add, query
):
    show(lambda *args: getattr(with_books(*args), add)(loud=Upper("name")))
    shown = get_shown(Author, query)
    assert [int(key) for (key,) in export(Author, query=query)[1:]] == shown
    assert shown
    if add == "annotate":
        names = dict(Author.objects.values_list("pk", "name"))
        rows = export(Author, query=query, columns=["loud"])[1:]
        assert rows == [[names[key].upper()] for key in shown]


@pytest.mark.only_on("postgresql")
def test_the_first_of_the_rows_of_each_name_is_that_of_the_change_list(
    library, export, get_shown, show
):
    ordering = ["name", "-id"]
    show(lambda *args: Author.objects.order_by(*ordering).distinct("name"), ordering=ordering)
    shown = get_shown(Author)
    assert [int(key) for (key,) in export(Author)[1:]] == shown
    assert len(shown) == 5


def test_a_project_may_be_served_below_a_path(library, ask):
    set_script_prefix("/below/")
    try:
        assert ask(Author)["model"] == "testapp.Author"
    finally:
        set_script_prefix("/")


def test_a_site_without_urls_is_told(library, ask, staff):
    aside = admin.AdminSite("aside")
    aside.register(SpecialProfile, type(admin.site.get_model_admin(Author)))
    with pytest.raises(InvalidParams, match=r"No URL leads to .* on 'aside'"):
        enqueue_export(
            NAME,
            ask(Author) | {"site": "aside", "model": "testapp.SpecialProfile"},
            created_by=staff,
        )


def test_of_sites_with_one_name_it_is_that_with_urls(library, export):
    class EmptyAdmin(type(admin.site.get_model_admin(Author))):
        def get_queryset(self, request):
            return Author.objects.none()

    others = [admin.AdminSite() for _ in range(8)]
    for other in others:
        other.register(Author, EmptyAdmin)
    assert len(export(Author)) == 26


class ClumsyRequest(ChangeListRequest):
    def capture(self, request):
        return {"user": request.user}


@pytest.mark.parametrize("kind", [TenantRequest, ClumsyRequest])
def test_a_hook_that_cannot_capture_refuses_the_export(library, ask, settings, kind):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.{kind.__name__}"
    with pytest.raises(InvalidParams, match=f"{kind.__name__} of EXPORTER_ADMIN_REQUEST cannot"):
        ask(Author)


# Keys


def test_a_stored_key_that_is_not_valid_can_be_ticked(library, export, monkeypatch):
    def refuse(value):
        raise ValidationError("no such key")

    key = Author._meta.pk
    monkeypatch.setattr(key, "validators", [refuse])
    monkeypatch.setattr(key, "_validators", [refuse])
    author = Author.objects.first()
    assert export(Author, selected=[str(author.pk)]) == [["id"], [str(author.pk)]]
