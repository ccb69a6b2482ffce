"""Decide who may see, change, delete and download an export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from django_infra.exporter.models import QueryExport
from django_infra.exporter.named import NamedExport
from django_infra.exporter.querysets import may_view_all
from django_infra.exporter.registry import registry

if TYPE_CHECKING:
    # A project without the API does not load REST framework.
    from rest_framework.request import Request

RIGHTS = "_download_rights"
MARK = "is_refused"


def may_change(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may cancel the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.change_queryexport")


def may_delete(user: Any, export: QueryExport) -> bool:
    """Tell whether the user may delete the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.delete_queryexport")


def list_names(user: Any) -> list[str]:
    """Return the names of the exports that the user may start, or has started; None knows all."""
    if user is None or may_view_all(user):
        return sorted({named.name for named in registry.exports})
    permitted = {
        named.name for named in registry.exports if named.is_listed and named.is_permitted(user)
    }
    own = QueryExport.objects.visible_to(user).exclude(name="").order_by().values_list("name")
    return sorted({*permitted, *(name for (name,) in own.distinct())})


class DownloadRights:
    """What a user may have of his own exports, asked once for each name and scope of a page.

    The exports of others are shown to staff alone, who have them by their own permission.
    """

    def __init__(self, user: Any) -> None:
        self.user = user
        self.answers: dict[tuple[NamedExport, str], bool] = {}
        self.scopes: dict[tuple[NamedExport, str], str] = {}

    def may_download(self, export: QueryExport, *, among: Iterable[QueryExport] = ()) -> bool:
        """Tell whether the user may still run the named export; without a name its owner may.

        What the row must tell for it is read at once for the others on the page.
        """
        if not self._is_asked(export):
            return True
        declared = _find_declared(export)
        # Who may is not known of a name that is no more.
        return bool(declared) and all(self._ask(named, export, among) for named in declared)

    def mark(self, exports: Iterable[QueryExport]) -> None:
        """Note on the exports of a page what the user is refused, for ``is_refused()``."""
        page = [export for export in exports if export.is_downloadable]
        for export in page:
            export.__dict__[MARK] = not self.may_download(export, among=page)

    def _is_asked(self, export: QueryExport) -> bool:
        return bool(export.name) and export.is_owned_by(self.user)

    def _ask(self, named: NamedExport, export: QueryExport, among: Iterable[QueryExport]) -> bool:
        scope = ""
        # The parameters may be long, and most exports need none of them here.
        if type(named).get_scope is not NamedExport.get_scope:
            if (named, export.pk) not in self.scopes:
                self._read_scopes(named, [export, *among])
            scope = self.scopes[named, export.pk]
        key = (named, scope)
        if key not in self.answers:
            self.answers[key] = named.may_download(self.user, scope)
        return self.answers[key]

    def _read_scopes(self, named: NamedExport, exports: list[QueryExport]) -> None:
        asked = {each.pk for each in exports if each.name == named.name and self._is_asked(each)}
        rows = QueryExport.objects.using(exports[0]._state.db).filter(pk__in=asked)
        found = dict(rows.values_list("pk", "params"))
        for pk in asked:
            params = found.get(pk)
            scope = named.get_scope(params if isinstance(params, dict) else {})
            self.scopes[named, pk] = scope


def get_rights(request: HttpRequest | Request) -> DownloadRights:
    """Return those of the user of the request, who is asked for once."""
    user: Any = request.user
    django_request: Any = getattr(request, "_request", request)
    rights: DownloadRights | None = getattr(django_request, RIGHTS, None)
    if rights is None or rights.user != user:
        rights = DownloadRights(user)
        setattr(django_request, RIGHTS, rights)
    return rights


def is_refused(export: QueryExport) -> bool:
    """Tell what a page has noted on the export."""
    return bool(export.__dict__.get(MARK))


def may_follow_link(export: QueryExport) -> bool:
    """Tell whether a signed link still leads to the file: what its owner may, if it has one."""
    if export.created_by_id is None:
        # The key stays when the user is deleted.
        return not export.owner_key
    owner: Any = get_user_model()._base_manager.filter(pk=export.created_by_id).first()
    return (
        owner is not None and bool(owner.is_active) and DownloadRights(owner).may_download(export)
    )


def _find_declared(export: QueryExport) -> list[NamedExport]:
    return [named for named in registry.exports if named.name == export.name]
