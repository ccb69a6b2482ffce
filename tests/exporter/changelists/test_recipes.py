"""Export change lists of projects that use the packages which docs/admin.md has recipes for."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.contrib import admin
from django.contrib.sessions.backends.db import SessionStore
from django.test import RequestFactory
from django_multitenant.utils import get_current_tenant, set_current_tenant
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.admin import OTPAdminSite
from django_otp.middleware import OTPMiddleware
from django_otp.plugins.otp_static.models import StaticDevice
from django_scopes import ScopedManager, get_scope, scope
from guardian.shortcuts import assign_perm, get_objects_for_user, remove_perm

from django_infra.exporter.changelists.export import NAME, make_params
from django_infra.exporter.changelists.requests import ChangeListRequest
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams, OtherRows
from django_infra.exporter.export import enqueue_export, schedule_export
from django_infra.exporter.jobs.worker import run_job
from testapp.models import Author, Publisher

# What is handed over after the commit is to run.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def publisher(library):
    return Publisher.objects.first()


# django-scopes


class ScopeRequest(ChangeListRequest):
    def capture(self, request):
        return {"publisher": get_scope()["publisher"].pk}

    def restore(self, request, captured):
        return scope(publisher=Publisher.objects.get(pk=captured["publisher"]))


def test_scopes(publisher, ask, staff, show, settings):
    scoped = ScopedManager(publisher="publisher")
    scoped.model = Author
    show(lambda request: scoped.all())
    with scope(publisher=publisher):
        with pytest.raises(InvalidParams, match="ScopeError"):
            ask(Author)
        settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.ScopeRequest"
        scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == publisher.authors.count() > 0
    assert get_scope() == {}


# django-multitenant


class TenantRequest(ChangeListRequest):
    def capture(self, request):
        return {"tenant": get_current_tenant().pk}

    @contextmanager
    def restore(self, request, captured):
        previous = get_current_tenant()
        set_current_tenant(Publisher.objects.get(pk=captured["tenant"]))
        try:
            yield
        finally:
            set_current_tenant(previous)


def of_tenant(request):
    tenant = get_current_tenant()
    return Author.objects.filter(publisher=tenant) if tenant else Author.objects.all()


def test_multitenant(publisher, ask, staff, show, settings):
    show(of_tenant)
    set_current_tenant(publisher)
    try:
        with pytest.raises(OtherRows, match="the query is another"):
            ask(Author)
        settings.EXPORTER_ADMIN_REQUEST = f"{__name__}.TenantRequest"
        scheduled = schedule_export(NAME, ask(Author), created_by=staff)
    finally:
        set_current_tenant(None)
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == publisher.authors.count() > 0
    assert get_current_tenant() is None


# django-guardian


def test_guardian(publisher, ask, staff, show):
    show(lambda request: get_objects_for_user(request.user, "testapp.change_author"))
    for author in publisher.authors.all():
        assign_perm("change_author", staff, author)
    params = ask(Author)
    assert enqueue_export(NAME, params, created_by=staff).row_count == publisher.authors.count() > 0
    # The rows are those at the time of the work.
    remove_perm("change_author", staff, publisher.authors.first())
    assert enqueue_export(NAME, params, created_by=staff).row_count == publisher.authors.count() - 1


# django-otp


@pytest.mark.parametrize("is_verified", [True, False])
def test_otp(library, staff, monkeypatch, is_verified):
    site = OTPAdminSite()
    monkeypatch.setattr(admin.site, "has_permission", site.has_permission)
    request = RequestFactory().post("/anywhere/")
    request.user, request.session = staff, SessionStore()
    device = StaticDevice.objects.create(user=staff, name="codes")
    if is_verified:
        request.session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    OTPMiddleware(lambda request: None)(request)
    asked = {"columns": ["id"], "headers": "names", "options": {}}
    listing = Listing(admin.site.get_model_admin(Author), request)
    if not is_verified:
        with pytest.raises(ExportNotPermitted):
            make_params(listing, **asked)
        return
    scheduled = schedule_export(NAME, make_params(listing, **asked), created_by=request.user)
    run_job(scheduled.pk)
    scheduled.refresh_from_db()
    assert scheduled.row_count == 25
