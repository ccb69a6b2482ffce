from __future__ import annotations

import csv

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import RequestFactory
from django.urls import reverse

from django_infra.exporter.changelists.export import NAME, make_params
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.export import enqueue_export
from testapp.models import Author, Book, Publisher


@pytest.fixture
def staff(django_user_model):
    """A staff user who may view authors, books and publishers."""
    user = django_user_model.objects.create_user("staff", is_staff=True, password="secret")
    names = ["view_author", "view_book", "view_publisher"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def library():
    """Authors and books of which several have the same names."""
    publishers = [Publisher.objects.create(name=name) for name in ("Allen", "Bloom")]
    Author.objects.bulk_create(
        Author(
            name=f"Author {number % 5}",
            email=f"{number}@example.org",
            publisher=publishers[number % 2] if number % 3 else None,
        )
        for number in range(25)
    )
    authors = list(Author.objects.order_by("pk"))
    Book.objects.bulk_create(
        Book(title=f"Title {each}", author=author, pages=number)
        for number, author in enumerate(authors)
        for each in range(number % 4)
    )
    editing = Book.editors.through
    editing.objects.bulk_create(
        editing(book_id=book.pk, author_id=key)
        for book in Book.objects.all()
        for key in {book.author_id, authors[0].pk, authors[1].pk}
    )


@pytest.fixture
def ask(staff):
    """Return a request of the user as a page has it, and what an export of it is to carry."""

    def ask(model, *, query="", selected=None, columns=("id",), user=None, **kwargs):
        request = RequestFactory().post("/anywhere/")
        request.user = user or staff
        defaults = {"headers": "names", "options": {}}
        listing = Listing(admin.site.get_model_admin(model), request, query, selected)
        return make_params(listing, columns=columns, **defaults | kwargs)

    return ask


@pytest.fixture
def export(ask, staff):
    """Export a change list and return the rows of the file."""

    def export(model, *, user=None, **kwargs):
        params = ask(model, user=user, **kwargs)
        done = enqueue_export(NAME, params, created_by=user or staff)
        assert done.error_log == ""
        with done.file.open() as file:
            return list(csv.reader(file.read().decode().splitlines()))

    return export


@pytest.fixture
def get_shown(client, staff):
    """Return the keys of what all pages of a change list show."""

    def get_shown(model, query=""):
        client.force_login(staff)
        opts = model._meta
        url = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        keys, number = [], 1
        while True:
            response = client.get(f"{url}?{query}&p={number}")
            assert response.status_code == 200
            keys += [each.pk for each in response.context["cl"].result_list]
            if "all=" in query or number >= response.context["cl"].paginator.num_pages:
                return keys
            number += 1

    return get_shown


@pytest.fixture
def show(monkeypatch):
    """Let the change list of authors show what a function of the request returns."""

    def show(get_rows):
        kind = type(admin.site.get_model_admin(Author))
        monkeypatch.setattr(kind, "get_queryset", lambda self, request: get_rows(request))

    return show
