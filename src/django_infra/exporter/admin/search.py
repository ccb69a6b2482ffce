"""Find exports by what the list shows of them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models import Q
from django.db.models.options import Options
from django.utils.text import smart_split, unescape_string_literal

from django_infra.exporter.models.query_export import QueryExportQuerySet
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import NamedExport

MAX_LENGTH = 200  # characters
MAX_WORDS = 20


def get_fields() -> tuple[str, ...]:
    owner = f"created_by__{get_user_model().USERNAME_FIELD}"
    return ("id", "name", "model_label", "file_path", owner)


def is_too_long(text: str) -> bool:
    """Tell whether the database would be busy with it for long; the API has the same limits."""
    return len(text) > MAX_LENGTH or len(list(smart_split(text))) > MAX_WORDS


def find(rows: QueryExportQuerySet, text: str) -> QueryExportQuerySet:
    """Keep the exports of which each word, or each phrase in quotes, is found somewhere."""
    if is_too_long(text):
        return rows.none()
    return rows.filter(*(_match(word) for word in smart_split(text)))


def _match(word: str) -> Q:
    """Match the word, or the phrase in quotes, with each fact that the list shows."""
    if len(word) > 1 and word[0] in "\"'" and word[0] == word[-1]:
        word = unescape_string_literal(word)
    fields = [(f"{name}__icontains", word) for name in get_fields()]
    # What people read is in their language, and not in the database.
    names = [each.name for each in registry.exports if each.is_listed and _is_in(word, each)]
    labels = [model._meta.label for model in apps.get_models() if _is_in(word, model._meta)]
    return Q(*fields, Q(name__in=names), Q(model_label__in=labels), _connector=Q.OR)


def _is_in(word: str, shown: NamedExport | Options[Any]) -> bool:
    names = (shown.verbose_name, getattr(shown, "verbose_name_plural", ""))
    return any(word.casefold() in str(name).casefold() for name in names)
