from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.sites.models import Site
from django.db import connection
from django.db.models import Value
from django.test import RequestFactory
from django.utils import timezone

from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams, OtherRows
from django_infra.exporter.export import enqueue_export, schedule_export
from django_infra.exporter.jobs.worker import run_job
from testapp.models import Author

# What is handed over after the commit is to run.
pytestmark = pytest.mark.django_db(transaction=True)

local = threading.local()
variable = ContextVar("variable", default=None)


@pytest.fixture
def add(monkeypatch):
    """Let middleware change each request of a user."""

    def add(change):
        request = RequestFactory.request

        def make(self, **kwargs):
            made = request(self, **kwargs)
            change(made)
            return made

        monkeypatch.setattr(RequestFactory, "request", make)

    return add


@pytest.fixture(autouse=True)
def forget():
    yield
    local.__dict__.clear()
    variable.set(None)


def filter_by(name):
    """Return the authors of the name, or all authors if there is none."""
    return Author.objects.filter(name=name) if name else Author.objects.all()


# Rows that depend on what only the request has


def of_user(request):
    return filter_by(getattr(request.user, "author", None))


def of_thread(request):
    return filter_by(getattr(local, "author", None))


def of_context(request):
    return filter_by(variable.get())


@pytest.mark.parametrize("get_rows", [of_user, of_thread, of_context])
def test_rows_of_the_request_alone_are_refused(library, ask, staff, show, get_rows):
    show(get_rows)
    staff.author = local.author = "Author 3"
    variable.set("Author 3")
    with pytest.raises(OtherRows, match="the query is another") as caught:
        ask(Author)
    assert str(caught.value.reason) == "a worker would be shown other rows"


@pytest.mark.parametrize("get_rows", [of_user, of_thread, of_context])
def test_what_is_there_in_the_worker_alone_is_refused(library, ask, staff, show, get_rows):
    """A job is also run in the thread of a request, or where another one has left something."""
    show(get_rows)
    params = ask(Author)
    staff.author = local.author = "Author 3"
    variable.set("Author 3")
    assert enqueue_export(NAME, params, created_by=staff).row_count == 25


# Workers


def test_a_worker_refuses_a_query_that_has_become_another(library, ask, staff, show):
    names = ["Author 3"]
    show(lambda request: Author.objects.filter(name__in=list(names)))
    scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    names.append("Author 4")
    with pytest.raises(OtherRows, match="the query is another"):
        run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert (scheduled.state, scheduled.file.name) == ("fail", "")
    assert "the query is another" in scheduled.error_log


def test_a_worker_takes_what_differs_in_order_alone(library, ask, staff, show):
    names = ["Author 3", "Author 4"]
    show(lambda request: Author.objects.filter(name__in=list(names)))
    scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    names.reverse()
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == 10


def test_a_worker_of_another_day_refuses_what_depends_on_the_date(library, ask, staff, show):
    days = [timezone.localdate()]
    show(lambda request: Author.objects.filter(born__lte=days[0]))
    scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    days[0] += timedelta(days=1)
    with pytest.raises(OtherRows, match="the query depends on the date"):
        run_job(scheduled.pk)


@pytest.mark.only_on("postgresql")
def test_a_worker_whose_session_is_another_names_the_setting(library, ask, staff):
    scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = public, elsewhere")
    try:
        with pytest.raises(OtherRows, match="'search_path' of the database session is"):
            run_job(scheduled.pk)
    finally:
        connection.close()


def test_a_job_without_a_statement_is_refused(library, ask, staff):
    with pytest.raises(InvalidParams, match="statement: This field is required"):
        enqueue_export(NAME, ask(Author) | {"statement": None}, created_by=staff)
    with pytest.raises(InvalidParams, match="cannot be read"):
        enqueue_export(NAME, ask(Author) | {"statement": {"digest": "x"}}, created_by=staff)


# What is restored


class ThreadRequest(ChangeListRequest):
    """Restores as one might who thinks of the worker's thread as the job's own."""

    def capture(self, request):
        return {"author": local.author}

    def restore(self, request, captured):
        local.author = captured["author"]


class ContextRequest(ChangeListRequest):
    def capture(self, request):
        return {"author": local.author}

    @contextmanager
    def restore(self, request, captured):
        entered = getattr(local, "entered", 0)
        local.author, local.entered = captured["author"], entered + 1
        try:
            yield
        finally:
            del local.author
            local.entered = entered


@pytest.mark.parametrize("kind", [ThreadRequest, ContextRequest])
def test_what_is_restored_is_gone_after_the_job(library, ask, staff, show, settings, kind):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.{kind.__name__}"
    show(of_thread)
    local.author = "Author 3"
    params = ask(Author)
    scheduled = schedule_export(NAME, params, created_by=staff)
    local.__dict__.clear()
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == 5
    assert not hasattr(local, "author")
    assert not getattr(local, "entered", 0)


def test_the_context_holds_while_the_rows_are_read(library, ask, staff, show, settings):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.ContextRequest"
    local.author, seen = "Author 3", []
    show(lambda request: of_thread(request).filter(pk__gt=Watching(seen)))
    scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    local.__dict__.clear()
    seen.clear()
    run_job(scheduled.pk)
    assert set(seen) == {"Author 3"}


class Watching(Value):
    """Note which author is restored when the query is compiled."""

    def __init__(self, seen):
        super().__init__(0)
        self.seen = seen

    def as_sql(self, compiler, connection):
        self.seen.append(getattr(local, "author", None))
        return super().as_sql(compiler, connection)


class ReturningRequest(ChangeListRequest):
    def restore(self, request, captured):
        return "done"


def test_a_restore_that_returns_something_else_is_told(library, ask, settings):
    settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.ReturningRequest"
    with pytest.raises(InvalidParams, match="must return a context manager or None"):
        ask(Author)


def test_what_middleware_of_django_adds_is_restored(library, ask, staff, show, add):
    site = Site.objects.create(domain="a.example", name="Author 3")
    add(lambda request: vars(request).update(LANGUAGE_CODE="nl", site=site))

    def get_rows(request):
        return Author.objects.filter(name=request.site.name).exclude(email=request.LANGUAGE_CODE)

    show(get_rows)
    assert enqueue_export(NAME, ask(Author), created_by=staff).row_count == 5


# Sites that ask how one has logged in


@pytest.fixture
def verify(monkeypatch):
    has_permission = admin.site.has_permission

    def verify(get_answer):
        monkeypatch.setattr(
            admin.site,
            "has_permission",
            lambda request: has_permission(request) and get_answer(request),
        )

    return verify


def test_a_site_that_asks_for_a_second_factor_is_asked_by_the_page(library, ask, staff, verify):
    verify(lambda request: request.user.is_verified())
    with pytest.raises(AttributeError):
        ask(Author)
    staff.is_verified = lambda: False
    with pytest.raises(ExportNotPermitted):
        ask(Author)
    staff.is_verified = lambda: True
    params = ask(Author)
    assert enqueue_export(NAME, params, created_by=staff).row_count == 25
    type(staff).objects.update(is_staff=False)
    with pytest.raises(ExportNotPermitted):
        enqueue_export(NAME, params, created_by=staff)


def test_a_site_that_refuses_a_worker_is_told(library, ask, staff, verify):
    verify(lambda request: getattr(request.user, "is_verified", lambda: False)())
    staff.is_verified = lambda: True
    with pytest.raises(InvalidParams, match="may not view"):
        ask(Author)
