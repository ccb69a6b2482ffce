from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission, User
from django.db import models
from django.db.models import Count, F, Value
from django.forms import PasswordInput
from django.test import RequestFactory

from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.changelists.groups import (
    ColumnGroup,
    OfferedColumn,
    list_columns,
    tell_apart,
)
from django_infra.exporter.changelists.offers import (
    get_computed_names,
    get_default_paths,
    list_groups,
)
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.exceptions import ExportNotPermitted, InvalidParams
from django_infra.exporter.export import enqueue_export
from testapp.admin import export_selected
from testapp.models import Author, Book, LivingAuthor, Profile, Reader

pytestmark = pytest.mark.django_db


@pytest.fixture
def offer(staff):
    """List what a user is offered of a change list."""

    def offer(model, user=None):
        request = RequestFactory().get("/")
        request.user = user or staff
        listing = Listing(admin.site.get_model_admin(model), request)
        return listing, list_groups(listing, listing.get_rows())

    return offer


def get_paths(offered):
    return list(list_columns(offered[1]))


def test_the_fields_of_the_model_its_annotations_and_what_relations_lead_to(offer):
    assert get_paths(offer(Author)) == [
        "id",
        "name",
        "email",
        "publisher",
        "book_count",
        "loud",
        "publisher__id",
        "publisher__name",
    ]


def test_groups_and_headers_say_where_columns_come_from(offer):
    groups = offer(Book)[1]
    assert [(group.label, group.path) for group in groups] == [
        ("Book", ""),
        ("Author", "author__"),
        ("Author: Publisher", "author__publisher__"),
    ]
    headers = [column.header for column in list_columns(groups).values()]
    assert headers == [
        "ID", "Title", "Author (ID)", "Pages", "Price", "Published at", "Data",
        "Author: ID", "Author: Name", "Author: Email", "Author: Publisher (ID)",
        "Author: Publisher: ID", "Author: Publisher: Name",
    ]  # fmt: skip


def test_what_the_change_list_shows_is_chosen_first(offer):
    offered = offer(Author)
    assert get_default_paths(*offered) == ["name", "publisher__name", "book_count", "loud"]
    assert get_computed_names(*offered) == ["initial letter"]


def test_a_list_of_objects_alone_has_the_columns_of_the_model(offer, admin_user):
    offered = offer(Profile, admin_user)
    assert get_default_paths(*offered) == [column.path for column in offered[1][0].columns]
    assert get_computed_names(*offered) == []


@pytest.mark.parametrize(("depth", "count"), [(0, 7), (1, 11), (2, 13), (3, 13)])
def test_the_depth_is_a_setting(offer, settings, depth, count):
    settings.EXPORTER_ADMIN_RELATED_DEPTH = depth
    assert len(get_paths(offer(Book))) == count


def test_related_models_need_the_permission_to_view_them(offer, staff):
    staff.user_permissions.remove(Permission.objects.get(codename="view_publisher"))
    user = User.objects.get(pk=staff.pk)
    assert not any("publisher__" in path for path in get_paths(offer(Book, user)))
    assert "publisher" in get_paths(offer(Author, user))


def test_fields_that_the_admin_hides_are_not_offered(offer, admin_user):
    # AuthorAdmin has no "born" among its fields; ProfileAdmin excludes "token".
    assert "born" not in get_paths(offer(Author))
    assert "author__born" not in get_paths(offer(Book))
    paths = get_paths(offer(Profile, admin_user))
    assert "token" not in paths
    assert {"created_at", "changed_at"} < set(paths)


def test_passwords_are_never_offered(offer, admin_user, monkeypatch):
    monkeypatch.setattr(UserAdmin, "actions", [export_selected])
    paths = get_paths(offer(User, admin_user))
    assert "username" in paths
    assert not any("password" in path for path in paths)


def test_more_can_be_kept_back(offer, monkeypatch):
    kind = type(admin.site.get_model_admin(Author))
    monkeypatch.setattr(kind, "export_exclude", ["email", "loud", "publisher__id"], raising=False)
    assert get_paths(offer(Author)) == [
        "id", "name", "publisher", "book_count", "publisher__name",
    ]  # fmt: skip
    assert "author__email" not in get_paths(offer(Book))


@pytest.mark.parametrize(
    "path",
    [
        "born",
        "books__title",
        "publisher__authors__email",
        "password",
        "pk",
        "nope",
        "id\0",
        "id__exact",
    ],
)
def test_what_is_not_offered_is_not_exported(ask, export, path):
    with pytest.raises(ExportNotPermitted if "\0" not in path else ValueError):
        export(Author, columns=["id", path])


@pytest.mark.django_db(transaction=True)
def test_headers_are_for_people_or_for_machines(export):
    columns = ["id", "publisher__name", "book_count"]
    assert export(Author, columns=columns) == [columns]
    assert export(Author, columns=columns, headers="verbose") == [
        ["ID", "Publisher: Name", "Books"]
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_told", [True, False])
def test_a_worker_calls_columns_as_the_page_does(export, monkeypatch, is_told):
    """What is called alike is told apart, also where one of the two is left out."""
    monkeypatch.setattr(Author._meta.get_field("email"), "verbose_name", "name")
    titles = {"id": "ID", "name": "Name (name)"} if is_told else None
    rows = export(Author, columns=["id", "name"], headers="verbose", titles=titles)
    assert rows == [["ID", "Name (name)"]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["author__email", "author__publisher__name"])
def test_a_worker_asks_the_pages_again(ask, staff, path):
    params = ask(Book, columns=[path], headers="verbose", titles={path: "A title"})
    assert enqueue_export(NAME, params, created_by=staff).columns[0]["header"] == "A title"
    staff.user_permissions.remove(Permission.objects.get(codename="view_author"))
    with pytest.raises(ExportNotPermitted, match=path):
        enqueue_export(NAME, params, created_by=staff)


@pytest.mark.parametrize("titles", ["x", {"id": 1}, {"id": None}, 3])
def test_titles_are_texts(ask, staff, titles):
    params = ask(Author) | {"titles": titles}
    with pytest.raises(InvalidParams, match="titles"):
        enqueue_export(NAME, params, created_by=staff)


@pytest.mark.django_db(transaction=True)
def test_columns_come_in_the_order_that_was_chosen(export):
    assert export(Author, columns=["loud", "id", "name"]) == [["loud", "id", "name"]]


def test_what_a_hidden_relation_leads_to_is_not_offered(offer, admin_user, monkeypatch):
    kind = type(admin.site.get_model_admin(Profile))
    assert "author__name" in get_paths(offer(Profile, admin_user))
    monkeypatch.setattr(kind, "exclude", ["author"])
    assert not any(path.startswith("author") for path in get_paths(offer(Profile, admin_user)))


def test_what_a_related_admin_hides_leads_no_further(offer, monkeypatch):
    assert "author__publisher__name" in get_paths(offer(Book))
    kind = type(admin.site.get_model_admin(Author))
    monkeypatch.setattr(kind, "fields", ["name"])
    monkeypatch.setattr(kind, "list_display", ["name"])
    assert "author__name" in get_paths(offer(Book))
    assert not any("publisher" in path for path in get_paths(offer(Book)))


def test_a_relation_that_is_kept_back_takes_along_what_it_leads_to(offer, monkeypatch):
    kind = type(admin.site.get_model_admin(Book))
    monkeypatch.setattr(kind, "export_exclude", ["author__publisher"], raising=False)
    groups = offer(Book)[1]
    assert [group.path for group in groups] == ["", "author__"]
    assert "author__name" in list_columns(groups)
    assert "author__publisher" not in list_columns(groups)


def test_what_the_change_list_shows_of_a_hidden_relation_is_offered(offer, monkeypatch):
    kind = type(admin.site.get_model_admin(Book))
    monkeypatch.setattr(kind, "list_display", ["title", "author__name"])
    monkeypatch.setattr(kind, "fields", ["title"])
    offered = offer(Book)
    assert get_default_paths(*offered) == ["title", "author__name"]
    assert "author" not in get_paths(offered)


@pytest.mark.parametrize(
    ("name", "value", "is_offered"),
    [
        ("password_copy", F("name"), False),
        ("old_passwords", Value([], models.JSONField()), False),
        ("password_age", Count("books"), True),
        ("password_changed", F("born"), True),
    ],
)
def test_an_annotation_named_for_a_password_is_offered_if_it_cannot_be_one(
    offer, monkeypatch, name, value, is_offered
):
    kind = type(admin.site.get_model_admin(Author))
    rows = Author.objects.annotate(**{name: value})
    monkeypatch.setattr(kind, "get_queryset", lambda *args: rows)
    column = admin.display(ordering=name)(lambda author: getattr(author, name))
    monkeypatch.setattr(kind, "list_display", ["name", column])
    assert (name in get_paths(offer(Author))) is is_offered


def test_a_form_that_cannot_be_known_offers_nothing(offer, admin_user, monkeypatch):
    def get_form(self, request, obj=None, **kwargs):
        form = ModelAdmin.get_form(self, request, obj, **kwargs)
        form.base_fields["nickname"].widget = PasswordInput()
        # As if of a row that has one.
        return obj.author.name and form

    kind = type(admin.site.get_model_admin(Profile))
    monkeypatch.setattr(kind, "fields", ["name", "nickname", "visits"], raising=False)
    monkeypatch.setattr(kind, "get_form", get_form)
    monkeypatch.setattr(kind, "list_display", ["visits"], raising=False)
    assert get_paths(offer(Profile, admin_user)) == ["id", "visits"]
    monkeypatch.setattr(kind, "export_same_for_all_rows", True, raising=False)
    assert get_paths(offer(Profile, admin_user)) == ["id", "visits"]


def test_a_related_model_of_which_some_rows_are_kept_from_the_user_is_not_offered(
    offer, monkeypatch, admin_user
):
    kind = type(admin.site.get_model_admin(Author))

    def get_queryset(self, request):
        found = ModelAdmin.get_queryset(self, request)
        return found if request.user.is_superuser else found.filter(email=request.user.email)

    monkeypatch.setattr(kind, "get_queryset", get_queryset)
    assert "author__email" in get_paths(offer(Book, admin_user))
    paths = get_paths(offer(Book))
    assert "author" in paths
    assert not any(path.startswith("author__") for path in paths)
    assert "email" in get_paths(offer(Author))


def test_a_related_model_whose_rows_cannot_be_known_is_not_offered(offer, monkeypatch):
    kind = type(admin.site.get_model_admin(Author))
    monkeypatch.setattr(kind, "get_queryset", lambda self, request: request.tenant.authors)
    assert "author" in get_paths(offer(Book))
    assert "author__name" not in get_paths(offer(Book))


def test_a_proxy_without_an_admin_shows_what_that_of_its_model_does(
    offer, monkeypatch, django_user_model, staff
):
    relation = Book._meta.get_field("author")
    monkeypatch.setattr(relation.remote_field, "model", LivingAuthor)
    monkeypatch.setattr(relation, "related_model", LivingAuthor)
    assert "author__name" in get_paths(offer(Book))
    assert "author__born" not in get_paths(offer(Book))
    staff.user_permissions.set(
        Permission.objects.filter(codename__in=["view_book", "view_livingauthor"])
    )
    user = django_user_model.objects.get(pk=staff.pk)
    assert "author__name" not in get_paths(offer(Book, user))


# Labels of choices


def test_choices_are_offered_by_label_and_by_code(offer, admin_user):
    offered = offer(Reader, admin_user)
    columns = list_columns(offered[1])
    assert [columns[path].header for path in ("get_role_display", "role")] == [
        "Role",
        "Role (code)",
    ]
    assert get_default_paths(*offered) == [
        "get_role_display", "get_mood_display", "favourite__name",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", ["names", "verbose"])
def test_labels_are_those_that_the_change_list_shows(export, admin_user, headers):
    author = Author.objects.create(name="Ada")
    readers = [
        Reader.objects.create(role=role, mood=mood, favourite=author)
        for role, mood in [(1, "a"), (2, ""), (None, "a"), (7, "gone")]
    ]
    columns = ["get_mood_display", "id", "get_role_display", "role"]
    names, *rows = export(
        Reader, user=admin_user, columns=columns, headers=headers, query="o=-1.-2"
    )
    assert names == (columns if headers == "names" else ["Mood", "ID", "Role", "Role (code)"])
    expected = [
        [each.get_mood_display(), str(each.pk), str(each.get_role_display()), str(each.role or "")]
        for each in readers
    ]
    assert sorted(rows) == sorted(expected)
    assert expected[2][2] == "None of these"


def test_names_of_related_rows_need_the_permission_to_view_them(offer, staff):
    staff.user_permissions.remove(Permission.objects.get(codename="view_publisher"))
    offered = offer(Author, User.objects.get(pk=staff.pk))
    assert get_default_paths(*offered)[:2] == ["name", "publisher"]


@pytest.mark.parametrize("name", ["email", "get_email_display"])
def test_what_is_kept_back_has_no_labels_either(offer, monkeypatch, name):
    monkeypatch.setattr(Author._meta.get_field("email"), "choices", [("a", "A")])
    kind = type(admin.site.get_model_admin(Book))
    assert "author__get_email_display" in get_paths(offer(Book))
    monkeypatch.setattr(kind, "export_exclude", [f"author__{name}"], raising=False)
    assert "author__get_email_display" not in get_paths(offer(Book))


def test_headers_are_told_apart_until_none_is_left():
    groups = [
        ColumnGroup("", "", [OfferedColumn("a", "A", "A"), OfferedColumn("b", "A", "A")]),
        ColumnGroup("", "c__", [OfferedColumn("c__d", "A", "A (a)")]),
    ]
    headers = [column.header for column in list_columns(tell_apart(groups)).values()]
    assert headers == ["A (a) (a)", "A (b)", "A (a) (c__d)"]
