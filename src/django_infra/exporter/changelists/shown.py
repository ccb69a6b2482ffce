"""The fields of each model that some page of a site shows to a user."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

from django.db import models
from django.forms.models import _get_foreign_key

from django_infra.exporter.changelists.overrides import (
    FORMSET_METHODS,
    INLINE_METHODS,
    are_djangos,
)
from django_infra.exporter.changelists.pages import Page, ask, has_every_row
from django_infra.exporter.changelists.relations import Relation
from django_infra.exporter.changelists.rows import Listing


@dataclass(frozen=True)
class Inline:
    """An inline on the pages of all rows of a model, and the foreign key that leads there."""

    page: Page
    key: models.ForeignKey[Any, Any]


class Shown:
    """What the site of a change list shows to the user; each model is looked at once."""

    def __init__(self, listing: Listing, *, using: str) -> None:
        self.listing = listing
        # The database of the rows, and of all that a join finds.
        self.using = using
        self.list_fields = cache(self._list_fields)
        self.is_whole = cache(self._is_whole)
        self._find_fields = cache(self._collect_fields)
        self._list_inlines = cache(self._find_inlines)

    def list_own_fields(self) -> list[Any]:
        """Return the fields of the rows of the change list, whose list the user sees."""
        model_admin = self.listing.model_admin
        fields = Page(model_admin, self.listing.request).list_fields(model_admin.model)
        return [field for field in fields if self._may_have_key(field)]

    def _list_fields(self, model: type[models.Model], came_by: Any = None) -> list[Any]:
        """Return the fields of all rows of a model, or of those that a one-to-one leads back to."""
        shown = self._find_fields(model, came_by)
        return [
            field
            for field in model._meta.concrete_fields
            if field.name in shown and self._may_have_key(field)
        ]

    def may_follow(self, relation: Relation, fields: Sequence[Any]) -> bool:
        """Tell whether the user sees what the relation leads to, and from which of the rows.

        ``fields`` are those that the user sees of the model from which it leads.
        """
        if not relation.is_backward:
            return relation.field in fields and bool(self._find_fields(relation.model, None))
        # An inline stands on the page of the row that its foreign key leads to.
        is_inline = any(each.key == relation.field for each in self._list_inlines(relation.model))
        return is_inline or relation.field in self.list_fields(relation.model)

    def _is_whole(self, model: type[models.Model]) -> bool:
        """Tell whether pages follow relations to every row of the model, as joins do."""
        return has_every_row(model._base_manager.using(self.using), using=self.using)

    def _collect_fields(self, model: type[models.Model], came_by: Any) -> frozenset[str]:
        if not self.is_whole(model):
            return frozenset()
        kept_back = {
            name
            for model_admin in self._admins[_get_concrete(model)]
            for name in getattr(model_admin, "export_exclude", ())
        }
        shown = {
            field.name
            for page in self._list_pages(model, came_by)
            for field in page.list_fields(model)
        }
        return frozenset(shown - kept_back)

    def _list_pages(self, model: type[models.Model], came_by: Any) -> Iterator[Page]:
        """Yield the pages that show the rows to which a relation leads."""
        for model_admin in self._admins[_get_concrete(model)]:
            page = self._pages[model_admin]
            if page.is_listed and page.shows_every_row(using=self.using):
                yield page
        for inline in self._list_inlines(model):
            # A row that belongs to no other is on no page.
            if inline.key == came_by or not inline.key.null:
                yield inline.page

    def _find_inlines(self, model: type[models.Model]) -> Sequence[Inline]:
        """Return the inlines of which the user sees the same on the pages of all rows."""
        found = []
        for page in self._inline_pages[_get_concrete(model)]:
            parent: Any = page.parent
            if not (parent.shows_every_row(using=self.using) and page.has_form):
                continue
            key = ask(page.source, partial(_get_key, page), None)
            if key is not None and page.shows_every_row(using=self.using):
                found.append(Inline(page, key))
        return found

    def _may_have_key(self, field: Any) -> bool:
        """Tell whether the value is none of another row that the user does not see there."""
        if not field.is_relation or field.target_field.primary_key:
            return True
        target = field.target_field
        return not target.is_relation and target.name in self._find_fields(target.model, None)

    @cached_property
    def _admins(self) -> Mapping[Any, Sequence[Any]]:
        """Return the admins of each model and of its proxies."""
        found: dict[Any, list[Any]] = defaultdict(list)
        for model, model_admin in self.listing.model_admin.admin_site._registry.items():
            found[_get_concrete(model)].append(model_admin)
        return found

    @cached_property
    def _pages(self) -> Mapping[Any, Page]:
        admins = self.listing.model_admin.admin_site._registry.values()
        return {each: Page(each, self.listing.request) for each in admins}

    @cached_property
    def _inline_pages(self) -> Mapping[Any, Sequence[Page]]:
        """Return the inlines of each model and of its proxies, on whatever pages."""
        found: dict[Any, list[Page]] = defaultdict(list)
        for model_admin, page in self._pages.items():
            is_djangos = are_djangos(model_admin, INLINE_METHODS)
            if not (page.is_declared_same or (is_djangos and model_admin.inlines)):
                continue
            nothing: list[Any] = []
            for source in ask(model_admin, partial(self._open_inlines, model_admin), nothing):
                inline = Page(source, self.listing.request, parent=page)
                if inline.is_declared_same or are_djangos(source.formset, FORMSET_METHODS):
                    found[_get_concrete(source.model)].append(inline)
        return found

    def _open_inlines(self, model_admin: Any) -> list[Any]:
        sources = model_admin.get_inline_instances(self.listing.request, model_admin.model())
        # Generic ones have no foreign key that a query could follow.
        return [source for source in sources if not hasattr(source, "ct_field")]


def _get_key(page: Page) -> Any:
    """Return the foreign key to what an inline stands on, if it leads to no other rows."""
    parent, source = page.source.parent_model, page.source
    key: Any = _get_foreign_key(parent, source.model, fk_name=source.fk_name)
    return key if _get_concrete(key.related_model) is _get_concrete(parent) else None


def _get_concrete(model: type[models.Model]) -> Any:
    return model._meta.concrete_model
