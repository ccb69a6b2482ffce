"""The rows that the fault tests export, and the file that must come of them."""

from __future__ import annotations

import csv
import io

from django.db import transaction

from django_infra.exporter.export import export_queryset
from testapp.models import Author

COLUMNS = ["id", "name"]


def make_authors(count, using="default"):
    with transaction.atomic(using=using):
        Author.objects.using(using).bulk_create(
            Author(name=f"Author {number}") for number in range(1, count + 1)
        )
    return Author.objects.using(using).order_by("pk")


def export_authors(path=None, **kwargs):
    return export_queryset(Author.objects.order_by("pk"), COLUMNS, path, **kwargs)


def make_csv(rows, headers=COLUMNS):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([headers, *rows])
    return text.getvalue().encode()


def make_authors_csv(authors):
    return make_csv(authors.values_list(*COLUMNS))
