"""Make the request that a change list is rebuilt for, long after the one that asked for it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, cast

from django.apps import apps
from django.conf import settings
from django.contrib.admin import ModelAdmin
from django.contrib.messages.storage.base import BaseStorage
from django.db.models import Model
from django.http import HttpRequest, QueryDict
from django.urls import NoReverseMatch, get_script_prefix, resolve, reverse
from django.utils.datastructures import MultiValueDict

from django_infra.exporter.conf import conf
from django_infra.exporter.exceptions import InvalidParams, InvalidSetting
from django_infra.exporter.plugins import import_subclass
from django_infra.exporter.registry.named_export import User

SITE = "sites.Site"


class ChangeListRequest:
    """What a worker's request gets of what middleware adds, as EXPORTER_ADMIN_REQUEST says."""

    def capture(self, request: HttpRequest) -> dict[str, Any]:
        """Return what of the user's request the worker's needs, as JSON carries it."""
        return {}

    def restore(
        self, request: HttpRequest, captured: dict[str, Any]
    ) -> AbstractContextManager[Any] | None:
        """Add it to the worker's request, which has a user, a path and a query string.

        What is to hold while the rows are read, such as a schema, is undone by the context manager
        that this returns: decorate it with ``@contextmanager``.
        """
        return None


def get_hook() -> ChangeListRequest:
    """Return the project's; raise InvalidSetting if it cannot be used."""
    path = conf.admin_request
    if path is None:
        return ChangeListRequest()
    kind: type[ChangeListRequest] = import_subclass(
        path, ChangeListRequest, setting="EXPORTER_ADMIN_REQUEST"
    )
    if inspect.isgeneratorfunction(kind.restore):
        raise InvalidSetting(
            f"restore() of {kind.__qualname__}, which EXPORTER_ADMIN_REQUEST is, yields and is no "
            "context manager; decorate it with @contextmanager."
        )
    return kind()


def capture_middleware(request: HttpRequest) -> dict[str, Any]:
    """Return what Django's own middleware has added to the request, as JSON carries it."""
    captured: dict[str, Any] = {}
    if isinstance(language := getattr(request, "LANGUAGE_CODE", None), str):
        captured["LANGUAGE_CODE"] = language
    site = getattr(request, "site", None)
    if isinstance(site, Model) and site._meta.label == SITE:
        captured["site"] = site.pk
    return captured


def restore_middleware(request: HttpRequest, captured: Mapping[str, Any]) -> None:
    """Add to a worker's request what ``capture_middleware()`` has found."""
    if "LANGUAGE_CODE" in captured:
        request.LANGUAGE_CODE = captured["LANGUAGE_CODE"]
    if "site" in captured:
        request.site = apps.get_model(SITE)._base_manager.get(pk=captured["site"])


def restore(request: HttpRequest, captured: dict[str, Any]) -> AbstractContextManager[Any] | None:
    """Let the project's hook complete the request; raise InvalidSetting for what it returns."""
    hook = get_hook()
    returned: object = hook.restore(request, captured)
    if returned is None or isinstance(returned, AbstractContextManager):
        return returned
    raise InvalidSetting(
        f"restore() of {type(hook).__qualname__}, which EXPORTER_ADMIN_REQUEST is, has returned "
        f"{returned!r}, but must return a context manager or None."
    )


def make_request(model_admin: ModelAdmin[Model], user: User, *, query: str) -> HttpRequest:
    """Return a GET of the change list by the user, as a worker can make it."""
    request = HttpRequest()
    request.META = {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    request.user = cast(Any, user)
    if apps.is_installed("django.contrib.sessions"):
        request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    _lead(request, model_admin, query)
    return request


def has_urls(model_admin: ModelAdmin[Model]) -> bool:
    """Tell whether the URL of the change list leads to this admin of the model."""
    request = HttpRequest()
    try:
        _lead(request, model_admin, "")
    except InvalidParams:
        return False
    # The views of an admin have it as an attribute.
    return getattr(cast(Any, request).resolver_match.func, "model_admin", None) is model_admin


def turn_request(
    request: HttpRequest, model_admin: ModelAdmin[Model], *, query: str
) -> HttpRequest:
    """Return a GET of the change list with all that middleware has added to the request."""
    turned = copy.copy(request)
    _lead(turned, model_admin, query)
    return turned


def get_messages(request: HttpRequest) -> list[str]:
    """Return what the change list has said to the user of a request made here."""
    storage = cast(_Messages, cast(Any, request)._messages)
    return storage.said


class _Messages(BaseStorage):
    """Keep what is said, and show it to nobody."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.said: list[str] = []

    def add(self, level: int, message: object, extra_tags: str | None = "") -> None:
        self.said.append(str(message))


def _lead(request: Any, model_admin: ModelAdmin[Model], query: str) -> None:
    """Make the request one for the change list."""
    opts, site = model_admin.opts, model_admin.admin_site
    name = f"admin:{opts.app_label}_{opts.model_name}_changelist"
    try:
        path = reverse(name, current_app=site.name)
    except NoReverseMatch as error:
        raise InvalidParams(f"No URL leads to {opts.label} on {site.name!r}: {error}") from error
    request.method = "GET"
    request.path = path
    # URLs begin with what a server has cut off before the project sees them, and URLconfs know
    # nothing of that.
    request.path_info = "/" + path.removeprefix(get_script_prefix())
    request.resolver_match = resolve(request.path_info)
    request.META = {**request.META, "REQUEST_METHOD": "GET", "QUERY_STRING": query}
    request.GET = QueryDict(query)
    request._post, request._files = QueryDict(), MultiValueDict()
    request._messages = _Messages(request)
