"""Say in words what the search and the filters of a change list choose."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl

from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import label_for_field
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR, ChangeList
from django.db.models import Model
from django.utils.translation import gettext as _

from django_infra.exporter.changelists.rows import Listing


def describe_query(listing: Listing) -> list[str]:
    """Return the search and each of the filters that choose among the rows."""
    params = parse_qsl(listing.cleaned_query)
    if all(key == ORDER_VAR for key, _value in params):
        return []
    return list(_describe(listing.open(listing.get_own_request()), params))


def _describe(change_list: ChangeList, params: list[tuple[str, str]]) -> Iterator[str]:
    read = {ORDER_VAR}
    for spec in change_list.filter_specs:
        read.update(str(name) for name in spec.expected_parameters() or ())
        if used := getattr(spec, "used_parameters", None):
            displays = [
                str(choice["display"])
                for choice in spec.choices(change_list)
                if choice.get("selected") and "display" in choice
            ]
            # A project's filter may show none of its choices as the chosen one.
            lists = [each if isinstance(each, list) else [each] for each in used.values()]
            values = [str(value) for values in lists for value in values]
            yield _join(spec.title, ", ".join(displays) or ", ".join(values))
    for key, value in params:
        if key == SEARCH_VAR:
            yield _("search “%(text)s”") % {"text": value}
        elif key not in read:
            yield _join(get_label(change_list.model_admin, key), value)


def _join(label: object, value: str) -> str:
    return _("%(filter)s: %(value)s") % {"filter": label, "value": value}


def get_label(model_admin: ModelAdmin[Model], key: str) -> str:
    """Return what the field is called that a key of the query string begins with."""
    name, *rest = key.removesuffix("__exact").split("__")
    try:
        label = label_for_field(name, model_admin.model, model_admin)
    except AttributeError:
        return key
    return " ".join([str(label), *rest])
