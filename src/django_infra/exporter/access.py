"""Decide who may see, change, delete and download an export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from django.contrib.auth import get_user_model
from django.http import HttpRequest

from django_infra.exporter.models import QueryExport
from django_infra.exporter.models.query_export import may_view_all
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.named_export import NamedExport, User

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, PermissionsMixin

    # A project without the API does not load REST framework.
    from rest_framework.request import Request

# Those of whom a permission is asked.
UserWithPermissions: TypeAlias = "PermissionsMixin | AnonymousUser"

RIGHTS = "_download_rights"
MARK = "is_refused"


def may_change(user: UserWithPermissions, export: QueryExport) -> bool:
    """Tell whether the user may cancel the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.change_queryexport")


def may_delete(user: UserWithPermissions, export: QueryExport) -> bool:
    """Tell whether the user may delete the export, of those that the user may see."""
    return export.is_owned_by(user) or user.has_perm("exporter.delete_queryexport")


def list_names(user: User | None) -> list[str]:
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

    def __init__(self, user: User) -> None:
        self.user = user
        self.answers: dict[tuple[NamedExport, str], bool] = {}
        self.scopes: dict[tuple[NamedExport, str], str] = {}

    def may_download(self, export: QueryExport, *, among: Iterable[QueryExport] = ()) -> bool:
        """Tell whether the user may still run the named export; without a name its owner may.

        What the row must tell for it is read at once for the others on the page.
        """
        if not self._is_asked(export):
            return True
        declared = [named for named in registry.exports if named.name == export.name]
        for named in declared:
            scope = self._get_scope(named, export, among)
            key = (named, scope)
            if key not in self.answers:
                self.answers[key] = named.may_download(self.user, scope)
            if not self.answers[key]:
                return False
        # Nothing declares who may have the file once the project has dropped the name.
        return bool(declared)

    def mark(self, exports: Iterable[QueryExport]) -> None:
        """Note on the exports of a page what the user is refused, for ``is_refused()``."""
        page = [export for export in exports if export.is_downloadable]
        for export in page:
            export.__dict__[MARK] = not self.may_download(export, among=page)

    def _is_asked(self, export: QueryExport) -> bool:
        return bool(export.name) and export.is_owned_by(self.user)

    def _get_scope(
        self, named: NamedExport, export: QueryExport, among: Iterable[QueryExport]
    ) -> str:
        """Return the scope of the export, and read those of the whole page where it is unknown."""
        # The parameters may be long, and most named exports need none of them here.
        if type(named).get_scope is NamedExport.get_scope:
            return ""
        if (named, export.pk) not in self.scopes:
            page = (each for each in (export, *among) if each.name == named.name)
            asked = {each.pk for each in page if self._is_asked(each)}
            rows = QueryExport.objects.using(export._state.db).filter(pk__in=asked)
            found = dict(rows.values_list("pk", "params"))
            for pk in asked:
                params = found.get(pk)
                # Code may have stored any JSON, and the row may be gone by now.
                self.scopes[named, pk] = named.get_scope(params if isinstance(params, dict) else {})
        return self.scopes[named, export.pk]


def get_rights(request: HttpRequest | Request) -> DownloadRights:
    """Return those of the user of the request, who is asked for once."""
    # REST framework wraps the request of Django, which outlives the wrapper of one view.
    django_request: HttpRequest = getattr(request, "_request", request)
    rights: DownloadRights | None = getattr(django_request, RIGHTS, None)
    # REST framework may have authenticated another user than the session has.
    if rights is None or rights.user != request.user:
        rights = DownloadRights(request.user)
        setattr(django_request, RIGHTS, rights)
    return rights


def is_refused(export: QueryExport) -> bool:
    """Tell what a page has noted on the export."""
    return bool(export.__dict__.get(MARK))


def may_follow_link(export: QueryExport) -> bool:
    """Tell whether a signed link still leads to the file: what its owner may, if it has one."""
    if export.created_by_id is None:
        # The owner's key stays when the user is deleted; code that asks for nobody leaves none.
        return not export.owner_key
    owner = get_user_model()._base_manager.filter(pk=export.created_by_id).first()
    return (
        owner is not None and bool(owner.is_active) and DownloadRights(owner).may_download(export)
    )
