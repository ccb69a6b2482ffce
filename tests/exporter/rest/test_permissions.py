"""Who may do what to whose export."""

from __future__ import annotations

import pytest

from django_infra.exporter.models import ExportState, QueryExport
from exporter.rest.rows import LIST, get_detail, get_ids, make_export, make_file

pytestmark = pytest.mark.django_db

PERMISSIONS = ("view_queryexport", "change_queryexport", "delete_queryexport")
ROLES = {
    "nobody": None,
    "user": {},
    "user with permissions": {"permissions": PERMISSIONS},
    "staff": {"is_staff": True},
    "viewer": {"is_staff": True, "permissions": PERMISSIONS[:1]},
    "changer": {"is_staff": True, "permissions": PERMISSIONS[:2]},
    "deleter": {"is_staff": True, "permissions": PERMISSIONS[::2]},
    "changer who may not view": {"is_staff": True, "permissions": PERMISSIONS[1:]},
    "superuser": {"is_staff": True, "is_superuser": True},
}
SEES_ALL = {"viewer", "changer", "deleter", "superuser"}
# What a request of somebody who sees the export leads to, of its owner and by permission.
ACTIONS = {
    "retrieve": ("get", "", 200, SEES_ALL),
    "head": ("head", "", 200, SEES_ALL),
    "download": ("get", "download/", 200, SEES_ALL),
    "cancel": ("post", "cancel/", 200, {"changer", "superuser"}),
    "delete": ("delete", "", 204, {"deleter", "superuser"}),
    "put": ("put", "", 405, set()),
    "patch": ("patch", "", 405, set()),
    "post": ("post", "", 405, set()),
    "cancel by get": ("get", "cancel/", 405, set()),
    "download by post": ("post", "download/", 405, set()),
    "download by delete": ("delete", "download/", 405, set()),
}


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


@pytest.fixture
def actor(role, django_user_model, permit):
    if ROLES[role] is None:
        return None
    fields = dict(ROLES[role])
    permissions = fields.pop("permissions", ())
    return permit(django_user_model.objects.create_user("actor", **fields), *permissions)


@pytest.fixture
def visitor(client, actor):
    if actor is not None:
        client.force_login(actor)
    return client


def make_for(action, owner):
    return make_export(owner, ExportState.PROCESSING) if action == "cancel" else make_file(owner)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("whose", ["own", "another's", "nobody's", "absent"])
def test_each_may_do_what_is_theirs_and_what_they_are_permitted(
    visitor, actor, other, role, action, whose
):
    method, path, success, permitted = ACTIONS[action]
    owner = {"own": actor, "another's": other}.get(whose)
    export = make_for(action, owner)
    url = f"{LIST}nope/" if whose == "absent" else get_detail(export)
    before = QueryExport.objects.values().get()
    response = getattr(visitor, method)(f"{url}{path}", {} if method == "post" else None)
    if actor is None:
        expected = {401, 403}
    elif success == 405:
        expected = {405}
    elif whose == "own":
        expected = {success}
    elif whose == "absent" or role not in SEES_ALL:
        expected = {404}
    else:
        expected = {success if role in permitted else 403}
    assert response.status_code in expected
    if response.status_code not in (200, 204):
        assert QueryExport.objects.values().get() == before
        assert export.storage.exists(export.object_name) is (action != "cancel")


@pytest.mark.parametrize("path", ["", "available/"])
def test_each_lists_what_they_may_see(visitor, actor, other, role, path):
    exports = [make_export(other), make_export(None), make_export(actor)]
    response = visitor.get(LIST + path)
    if actor is None:
        assert response.status_code in {401, 403}
    elif path:
        assert response.status_code == 200
    else:
        seen = exports if role in SEES_ALL else exports[2:]
        assert set(get_ids(response)) == {export.pk for export in seen}


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_lists_cannot_be_written(visitor, actor, method):
    for path in ("", "available/"):
        status = getattr(visitor, method)(LIST + path).status_code
        assert status in ({405} if actor else {401, 403})


@pytest.mark.parametrize("path", ["cancel/", "download/", ""])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_export_of_another_is_like_none_at_all(login, other, method, path):
    foreign, missing = (
        getattr(login, method)(f"{url}{path}")
        for url in (get_detail(make_export(other)), f"{LIST}Author-20260101000000-{'x' * 22}/")
    )
    assert foreign.status_code == missing.status_code
    assert foreign.content == missing.content
    assert foreign.headers == missing.headers


@pytest.mark.parametrize("classes", [["rest_framework.permissions.AllowAny"], []])
def test_the_projects_permissions_do_not_open_it(client, settings, classes):
    settings.REST_FRAMEWORK = {"DEFAULT_PERMISSION_CLASSES": classes}
    export = make_file()
    for method, path in [("get", ""), ("get", "download/"), ("post", "cancel/"), ("delete", "")]:
        assert getattr(client, method)(get_detail(export) + path).status_code in {401, 403}
    assert client.get(f"{LIST}available/").status_code in {401, 403}
    assert client.post(LIST, {"name": "authors"}).status_code in {401, 403}
    assert QueryExport.objects.get().pk == export.pk


def test_who_has_the_key_of_the_owner_is_not_the_owner(user):
    class Impostor:
        pk = user.pk

    assert make_export(user).is_owned_by(user)
    assert not make_export(user).is_owned_by(Impostor())
    assert not make_export(None).is_owned_by(type(user)())
