"""Find the fields of each model that some page of a site shows to a user."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.db import models

from django_infra.exporter.changelists.inputs import Field
from django_infra.exporter.changelists.pages import Page, has_every_row
from django_infra.exporter.changelists.relations import Relation
from django_infra.exporter.changelists.rows import Listing


@dataclass(frozen=True)
class Inline:
    """An inline on the pages of all rows of a model, and the foreign key that leads there."""

    page: Page
    key: Field


class Shown:
    """What the site of a change list shows to the user; each model is looked at once."""

    def __init__(self, listing: Listing, *, using: str) -> None:
        self.listing = listing
        # A join finds rows of the same database alone.
        self.using = using
        # The caches belong to the object, as those of a class would keep every request.
        self._find_names = cache(self._collect_names)
        self._list_inlines = cache(self._find_inlines)

    def list_own_fields(self) -> list[Field]:
        """Return the fields of the rows of the change list, whose list the user sees."""
        model_admin = self.listing.model_admin
        page = Page(model_admin, self.listing.request, using=self.using)
        return [each for each in page.list_fields(model_admin.model) if self._may_have_key(each)]

    def list_fields(self, model: type[models.Model], came_by: Field | None = None) -> list[Field]:
        """Return the fields of all rows of a model, or of those that a one-to-one leads back to."""
        names = self._find_names(model, came_by)
        fields = [field for field in model._meta.concrete_fields if field.name in names]
        return [field for field in fields if self._may_have_key(field)]

    def may_follow(self, relation: Relation, fields: Sequence[Field]) -> bool:
        """Tell whether the user sees what the relation leads to, and from which of the rows.

        ``fields`` are those that the user sees of the model from which it leads.
        """
        if not relation.is_backward:
            return relation.field in fields and bool(self._find_names(relation.model, None))
        # An inline stands on the page of the row that its foreign key leads to.
        is_inline = any(each.key == relation.field for each in self._list_inlines(relation.model))
        return is_inline or relation.field in self.list_fields(relation.model)

    def is_whole(self, model: type[models.Model]) -> bool:
        """Tell whether pages follow relations to every row of the model, as joins do."""
        return has_every_row(model._base_manager.using(self.using), using=self.using)

    def _collect_names(self, model: type[models.Model], came_by: Field | None) -> frozenset[str]:
        """Return the names of the fields that pages of rows to which a relation leads show."""
        if not self.is_whole(model):
            return frozenset()
        own = self._pages[model._meta.concrete_model]
        pages = [page for page in own if page.is_listed and page.shows_every_row]
        pages += [
            inline.page
            for inline in self._list_inlines(model)
            # A row that belongs to no other is on no page.
            if inline.key == came_by or not inline.key.null
        ]
        names = {field.name for page in pages for field in page.list_fields(model)}
        kept_back = {name for page in own for name in getattr(page.source, "export_exclude", ())}
        return frozenset(names - kept_back)

    def _find_inlines(self, model: type[models.Model]) -> Sequence[Inline]:
        """Return the inlines of which the user sees the same on the pages of all rows."""
        return [
            Inline(inline, key)
            for page in itertools.chain(*self._pages.values())
            for inline in page.inlines
            if inline.source.model._meta.concrete_model is model._meta.concrete_model
            if page.shows_every_row and inline.has_form
            if (key := inline.find_key()) is not None and inline.shows_every_row
        ]

    def _may_have_key(self, field: Any) -> bool:
        """Tell whether the value is none of another row that the user does not see there."""
        if not field.is_relation or field.target_field.primary_key:
            return True
        target = field.target_field
        return not target.is_relation and target.name in self._find_names(target.model, None)

    @cached_property
    def _pages(self) -> Mapping[Any, Sequence[Page]]:
        """The pages of the admins of each model and of its proxies."""
        found = defaultdict(list)
        for model, model_admin in self.listing.model_admin.admin_site._registry.items():
            page = Page(model_admin, self.listing.request, using=self.using)
            found[model._meta.concrete_model].append(page)
        return found
