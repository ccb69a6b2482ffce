"""Let a client of the API start, watch, cancel, download and delete exports."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import DataError, connections, transaction
from django.db.models import ProtectedError, QuerySet, RestrictedError
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    ParseError,
    PermissionDenied,
    ValidationError,
)
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle

from django_infra.api.conditional import ConditionalResponseMixin
from django_infra.api.fields import FieldsBackend, PartialSerializerMixin
from django_infra.api.filters import FilterBackend
from django_infra.api.pagination import KeysetPagination
from django_infra.exporter.downloads import Refusal, send_file
from django_infra.exporter.exceptions import DatabaseLocked, HandoverFailed
from django_infra.exporter.jobs.worker import EXPORT_ID
from django_infra.exporter.models import QueryExport, links
from django_infra.exporter.registry import registry
from django_infra.exporter.registry.description import describe
from django_infra.exporter.registry.named_export import NamedExport
from django_infra.exporter.registry.params import has_surrogate
from django_infra.exporter.rest.filters import QueryExportFilterSet
from django_infra.exporter.rest.negotiation import FormatNegotiation
from django_infra.exporter.rest.permissions import MayChangeExport
from django_infra.exporter.rest.serializers import QueryExportSerializer, StartSerializer
from django_infra.exporter.rest.throttling import StartThrottle

# The schema's extensions register at their import. That is here, and not when the app is ready,
# since workers and commands need no schema.
if apps.is_installed("drf_spectacular"):
    import_module("django_infra.exporter.rest.schema")

MAX_POLLING_INTERVAL = 5  # seconds
POLLING_INTERVAL = 2  # seconds, where nothing tells how long it takes

REFUSAL_STATUSES = {
    Refusal.FORBIDDEN: status.HTTP_403_FORBIDDEN,
    Refusal.DEAD_LINK: status.HTTP_403_FORBIDDEN,
    Refusal.UNFINISHED: status.HTTP_409_CONFLICT,
    Refusal.FAILED: status.HTTP_409_CONFLICT,
    Refusal.EXPIRED: status.HTTP_410_GONE,
    Refusal.GONE: status.HTTP_404_NOT_FOUND,
    Refusal.UNREADABLE: status.HTTP_503_SERVICE_UNAVAILABLE,
}


class QueryExportViewSet(
    ConditionalResponseMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[QueryExport],
):
    """Start, watch, cancel, download and delete one's own exports.

    Staff who may view exports see all of them.
    """

    serializer_class = QueryExportSerializer
    start_serializer_class = StartSerializer
    lookup_value_regex = "[^/]+"
    permission_classes = (IsAuthenticated, MayChangeExport)
    start_throttle_classes: Sequence[type[BaseThrottle]] = (StartThrottle,)
    filter_backends = (FilterBackend, FieldsBackend)
    filterset_class = QueryExportFilterSet
    pagination_class = KeysetPagination
    content_negotiation_class = FormatNegotiation

    @property
    def required_fields(self) -> Sequence[str]:
        """The columns that ``Retry-After`` is made of."""
        is_alone = self.action == "retrieve"
        return QueryExportSerializer.Meta.requires["estimated_seconds_left"] if is_alone else ()

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        view = super().as_view(*args, **kwargs)
        # With ATOMIC_REQUESTS an error's answer would undo the row that tells of the error, and a
        # job could begin before its row is there.
        for alias in connections:
            view = transaction.non_atomic_requests(alias)(view)
        return view

    def get_queryset(self) -> QuerySet[QueryExport]:
        return QueryExport.objects.visible_to(self.request.user)

    def get_object(self) -> QueryExport:
        # PostgreSQL answers a NUL with an error, which would be one of the server's.
        if not EXPORT_ID.fullmatch(self.kwargs[self.lookup_url_kwarg or self.lookup_field]):
            raise Http404(f"No {QueryExport._meta.object_name} matches the given query.")
        return super().get_object()

    def get_serializer_class(self) -> type[BaseSerializer[QueryExport]]:
        # OPTIONS asks what a POST takes.
        is_options = self.action == "metadata" and self.request.method == "POST"
        is_start = self.action == "create" or is_options
        return self.start_serializer_class if is_start else super().get_serializer_class()

    def get_throttles(self) -> list[BaseThrottle]:
        starting = self.start_throttle_classes if self.action == "create" else ()
        return [*super().get_throttles(), *(throttle() for throttle in starting)]

    def filter_queryset(self, queryset: QuerySet[QueryExport, Any]) -> QuerySet[QueryExport, Any]:
        """Filter lists; an export is found by its id alone."""
        if self.action == "list":
            return super().filter_queryset(queryset)
        if self.action == "retrieve":
            queryset = FieldsBackend().filter_queryset(self.request, queryset, self)
        return queryset

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except (DataError, ValueError) as error:
            # PostgreSQL's answer to a NUL in a name.
            raise AuthenticationFailed from error

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        # A file is of the type that it is.
        is_file = self.action in ("download", "signed")
        return super().perform_content_negotiation(request, force or is_file)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._show(self.get_object())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=_read_data(request))
        serializer.is_valid(raise_exception=True)
        name = serializer.validated_data.get("name")
        # A name that no app has registered is the serializer's to refuse, as a mistake and not as
        # a lack of permission.
        is_registered = name in {export.name for export in registry.exports}
        if is_registered and name not in {export.name for export in self.get_named_exports()}:
            raise PermissionDenied(_("You may not run this export."))
        self._check_fields()
        # Raises for a forged host, which Location would name.
        request.get_host()
        try:
            export = serializer.save(created_by=request.user)
        except HandoverFailed as error:
            raise ServiceUnavailable(_("No worker can be reached.")) from error
        response = self._show(export, status=status.HTTP_201_CREATED)
        response["Location"] = self.reverse_action("detail", args=[export.pk])
        return response

    def perform_destroy(self, instance: QueryExport) -> None:
        try:
            instance.delete()
        except (ProtectedError, RestrictedError) as error:
            raise Conflict(_("The export is still referred to.")) from error

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, **kwargs: Any) -> Response:
        """End an export that is unfinished."""
        self._check_fields()
        export = self.get_object()
        try:
            is_cancelled = export.cancel(by=request.user)
        except DatabaseLocked as error:
            raise ServiceUnavailable(_("The database is locked. Try again later.")) from error
        if not is_cancelled:
            raise Conflict(_("The export has ended already."))
        return self._show(export)

    @action(detail=True)
    def download(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        """Send the file."""
        return self._send(self.get_object())

    @action(
        detail=False,
        url_path=r"signed/(?P<token>[^/]+)",
        authentication_classes=[],
        permission_classes=[],
        pagination_class=None,
    )
    def signed(self, request: Request, token: str, **kwargs: Any) -> HttpResponseBase:
        """Send the file to whoever has the signed link."""
        if (export_id := links.read(token)) is None:
            raise PermissionDenied(_("The link is invalid, or its time is over."))
        return self._send(get_object_or_404(QueryExport, pk=export_id), by_link=True)

    @action(detail=False, pagination_class=None)
    def available(self, request: Request, **kwargs: Any) -> Response:
        """List the exports that one may start, and what they ask for."""
        exports = self.get_named_exports()
        return Response([describe(export, request.user) for export in exports])

    def get_named_exports(self) -> list[NamedExport]:
        """Return the exports that the user may start."""
        return registry.get_permitted(self.request.user)

    def _check_fields(self) -> None:
        """Refuse unknown ``?fields=`` before anything is started or cancelled."""
        serializer = self._get_shown_class()(context=self.get_serializer_context())
        if isinstance(serializer, PartialSerializerMixin):
            serializer.check_fields()

    def _show(self, export: QueryExport, *, status: int = status.HTTP_200_OK) -> Response:
        serializer = self._get_shown_class()(export, context=self.get_serializer_context())
        response = Response(serializer.data, status=status)
        if not export.has_ended:
            response["Retry-After"] = _get_polling_interval(export)
        return response

    def _get_shown_class(self) -> type[BaseSerializer[QueryExport]]:
        # A POST is read by one serializer and answered by another.
        is_start = self.action == "create"
        return self.serializer_class if is_start else self.get_serializer_class()

    def _send(self, export: QueryExport, *, by_link: bool = False) -> HttpResponseBase:
        outcome = send_file(self.request, export, by_link=by_link)
        if not isinstance(outcome, Refusal):
            return outcome
        retry_after = {
            Refusal.UNFINISHED: _get_polling_interval(export),
            Refusal.UNREADABLE: MAX_POLLING_INTERVAL,
        }
        response = Response({"detail": str(outcome.label)}, status=REFUSAL_STATUSES[outcome])
        if outcome in retry_after:
            response["Retry-After"] = retry_after[outcome]
        return response


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class ServiceUnavailable(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    wait = MAX_POLLING_INTERVAL
    default_code = "service_unavailable"


def _read_data(request: Request) -> Any:
    """Return the body, or refuse it for what Python's parsers do not call a mistake."""
    try:
        data = request.data
    except RecursionError as error:
        raise ParseError(_("The body is nested too deeply.")) from error
    except (LookupError, UnicodeError) as error:
        # The charset is unknown, or encodes no text, or the body is not encoded in it.
        raise ParseError(_("The body cannot be decoded.")) from error
    # JSON has escapes for surrogates, and an answer that quotes one could not be encoded.
    items = data.items() if isinstance(data, dict) else [("", data)]
    faulty = [name for name, value in items if has_surrogate([name, value])]
    message = _("Surrogate characters are not allowed.")
    if any(name == "" or has_surrogate(name) for name in faulty):
        raise ParseError(message)
    if faulty:
        raise ValidationError({name: [message] for name in faulty})
    return data


def _get_polling_interval(export: QueryExport) -> int:
    """Return the seconds after which it makes sense to ask again."""
    seconds = export.estimated_seconds_left
    return POLLING_INTERVAL if seconds is None else min(max(seconds, 1), MAX_POLLING_INTERVAL)
