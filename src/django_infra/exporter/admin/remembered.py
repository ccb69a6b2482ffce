"""Remember how a user had a change list exported last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django_infra.exporter.changelists.export import NAME
from django_infra.exporter.changelists.groups import ColumnGroup
from django_infra.exporter.changelists.offers import get_default_paths
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.models import QueryExport


@dataclass(frozen=True)
class Choice:
    """How a user had a change list exported, as far as that is still offered."""

    columns: Sequence[str]
    headers: str
    format: str
    options: dict[str, Any]

    @property
    def initial(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "headers": self.headers,
            "format": self.format,
        }


def remember(listing: Listing, groups: Sequence[ColumnGroup], formats: Sequence[str]) -> Choice:
    """Return what the user chose last time for the model, or the columns of the change list."""
    asked: Any = QueryExport.objects.filter(
        created_by=listing.request.user.pk,
        name=NAME,
        model_label=listing.model_admin.opts.label,
    )
    last = asked.values("params", "format").first() or {"params": {}, "format": None}
    params, format = last["params"], last["format"]
    offered = {column.path for group in groups for column in group.columns}
    columns = [path for path in params.get("columns") or () if path in offered]
    return Choice(
        columns=columns or get_default_paths(listing, groups),
        headers=params.get("headers") or "verbose",
        format=format if format in formats else formats[0],
        options=params.get("options") or {} if format in formats else {},
    )
