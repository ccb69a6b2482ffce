from __future__ import annotations

import csv
import datetime
import io
import json
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType

from django_infra.exporter.registry import registry
from testapp.models import Author, Book, Comic, Edition, Note, Publisher, Translation
from testapp.runners import BoxRunner


def write_expected(headers, rows):
    """Return what csv.writer writes, with the cells of promise 2 where str() is not data."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(headers)
    writer.writerows([[make_expected_cell(value) for value in row] for row in rows])
    return text.getvalue().encode()


def make_expected_cell(value):
    if isinstance(value, dict | list | tuple):
        return json.dumps(
            value, ensure_ascii=False, default=lambda item: str(make_expected_cell(item))
        )
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value


def read(export):
    with export.file.open("rb") as file:
        return file.read()


@pytest.fixture
def library(db):
    """Create a few rows of each model, with gaps, ties and text that CSV must quote."""
    publishers = Publisher.objects.bulk_create([Publisher(name="Ünïon"), Publisher(name='"Q"')])
    authors = Author.objects.bulk_create(
        Author(
            name=name,
            email=f"{number}@example.com",
            born=None if number % 3 == 0 else datetime.date(1900 + number, 1, number + 1),
            publisher=publishers[number % 2] if number % 4 else None,
        )
        for number, name in enumerate(["Ann", "bob", "Ann", "Zoë, the 1st", "Line\nbreak", ""])
    )
    books = Book.objects.bulk_create(
        Book(
            title=f"Book {number % 5}",
            author=authors[number % 5],
            pages=number * 10 % 70,
            price=None if number % 4 == 0 else Decimal(number) / 4,
            published_at=datetime.datetime(
                2020, 1 + number % 12, 1, 12, 30, 15, 1000 * number, datetime.UTC
            ),
            data={"tags": ["x", number, None], "deep": {"n": number, "s": "ü"}},
        )
        for number in range(12)
    )
    editing = Book.editors.through
    editing.objects.bulk_create(
        editing(book=book, author=author)
        for number, book in enumerate(books)
        for author in authors[: number % 3]
    )
    Comic.objects.create(title="Comic", author=authors[0], artist="Hergé")
    Translation.objects.bulk_create(
        Translation(book=books[0], language=language, title=f"In {language}")
        for language in ("en", "fr")
    )
    Edition.objects.bulk_create(
        Edition(number=number, token=UUID(int=number), printed_at=books[-1].published_at)
        for number in range(3)
    )
    Note.objects.create(
        text="note", content_type=ContentType.objects.get_for_model(Book), object_id=books[0].pk
    )
    return books


@pytest.fixture
def box(settings, monkeypatch):
    """Have jobs put into a box instead of being run."""
    monkeypatch.setattr(BoxRunner, "box", [])
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BoxRunner"}
    return BoxRunner.box


@pytest.fixture
def declare(monkeypatch):
    """Register an export for the time of the test."""
    monkeypatch.setattr(registry, "exports", list(registry.exports))

    def declare(name="test", values=("id",), permission=None, **attributes):
        return registry.register(name, values=values, permission=permission, **attributes)

    return declare


@pytest.fixture
def author_staff(client, django_user_model):
    """A staff user who may view authors, and is logged in."""
    user = django_user_model.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_author"))
    client.force_login(user)
    return user
