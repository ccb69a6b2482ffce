"""Describe the REST API to drf-spectacular; imported only where that is installed."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import serializers

from django_infra.api.schema import FIELDS_PARAMETER
from django_infra.exporter.downloads import get_content_type
from django_infra.exporter.registry.description import TYPES
from django_infra.exporter.writers import get_formats


class ChoiceSerializer(serializers.Serializer[Any]):
    value = serializers.JSONField()
    label = serializers.CharField()  # type: ignore[assignment]  # REST framework replaces it


class ParameterSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # REST framework replaces it
    help_text = serializers.CharField()  # type: ignore[assignment]  # REST framework replaces it
    type = serializers.ChoiceField(choices=["string", *sorted(set(TYPES.values()))])
    required = serializers.BooleanField()  # type: ignore[assignment]
    multiple = serializers.BooleanField()
    initial = serializers.JSONField(allow_null=True)
    choices = ChoiceSerializer(many=True, allow_null=True)


class ColumnSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(allow_null=True)
    header = serializers.CharField()


class AvailableExportSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    verbose_name = serializers.CharField()
    description = serializers.CharField()
    parameters = ParameterSerializer(many=True)
    columns = ColumnSerializer(many=True, allow_null=True)
    formats = serializers.ListField(child=serializers.CharField())


class DetailSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


# The answers that several operations share, by their status.
REFUSED = {
    401: OpenApiResponse(DetailSerializer, _("Nobody is logged in.")),
    403: OpenApiResponse(DetailSerializer, _("Nobody is logged in, or the user may not.")),
    406: OpenApiResponse(DetailSerializer, _("No media type of the Accept header is available.")),
    429: OpenApiResponse(DetailSerializer, _("Too many requests, or too many unfinished exports.")),
}
ABSENT = {404: OpenApiResponse(DetailSerializer, _("Absent, or of another user."))}
UNCHANGED = {304: OpenApiResponse(None, _("What If-None-Match names is still true."))}
INVALID = {
    400: OpenApiResponse(
        {"type": "object", "additionalProperties": {}}, _("What is wrong, by parameter or field.")
    )
}
RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    response=[200, 201, 409, 503],
    description=_("Seconds after which it makes sense to ask again."),
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.URI, OpenApiParameter.HEADER, response=[201, 302]
)
RANGE = OpenApiParameter("Range", str, OpenApiParameter.HEADER)


def describe_download(summary: str, refused: dict[int, Any]) -> Any:
    """Return what all ways of getting a file have in common."""
    # Whole files and parts of them have the media types of the project's formats.
    types = sorted({get_content_type(name).partition(";")[0] for name in get_formats()})
    files = {
        (status, content_type): OpenApiTypes.BINARY
        for status in (200, 206)
        for content_type in types
    }
    return extend_schema(
        summary=summary,
        filters=False,
        parameters=[RANGE, RETRY_AFTER, LOCATION],
        responses={
            **files,
            302: OpenApiResponse(None, _("A short-lived URL of the storage.")),
            **UNCHANGED,
            **refused,
            **ABSENT,
            409: OpenApiResponse(DetailSerializer, _("Unfinished, or failed.")),
            410: OpenApiResponse(DetailSerializer, _("Expired.")),
            412: OpenApiResponse(None, _("If-Match or If-Unmodified-Since does not hold.")),
            416: OpenApiResponse(None, _("The file has no such range.")),
            503: OpenApiResponse(DetailSerializer, _("The storage cannot be reached.")),
        },
    )


class QueryExportViewExtension(OpenApiViewExtension):  # type: ignore[no-untyped-call]
    target_class = "django_infra.exporter.views.QueryExportViewSet"
    match_subclasses = True

    def view_replacement(self) -> type[Any]:
        shown = OpenApiResponse(self.target.serializer_class)
        return extend_schema_view(
            list=extend_schema(
                summary="List exports", responses={200: shown, **UNCHANGED, **INVALID, **REFUSED}
            ),
            retrieve=extend_schema(
                summary="Show an export",
                parameters=[FIELDS_PARAMETER, RETRY_AFTER],
                responses={200: shown, **UNCHANGED, **INVALID, **REFUSED, **ABSENT},
            ),
            create=extend_schema(
                summary="Start a named export",
                parameters=[FIELDS_PARAMETER, RETRY_AFTER, LOCATION],
                request=self.target.start_serializer_class,
                responses={
                    201: shown,
                    **INVALID,
                    **REFUSED,
                    415: OpenApiResponse(DetailSerializer, _("The body is of an unknown type.")),
                    503: OpenApiResponse(DetailSerializer, _("No worker can be reached.")),
                },
            ),
            cancel=extend_schema(
                summary="Cancel an export",
                parameters=[FIELDS_PARAMETER],
                request=None,
                responses={
                    200: shown,
                    **INVALID,
                    **REFUSED,
                    **ABSENT,
                    409: OpenApiResponse(DetailSerializer, _("It has ended already.")),
                    503: OpenApiResponse(DetailSerializer, _("The database is locked.")),
                },
            ),
            destroy=extend_schema(
                summary="Delete an export and its file",
                responses={
                    204: None,
                    **REFUSED,
                    **ABSENT,
                    409: OpenApiResponse(DetailSerializer, _("Something still refers to it.")),
                },
            ),
            download=describe_download("Download the file", REFUSED),
            # Whoever has the link need not log in.
            signed=describe_download(
                "Download the file by a signed link",
                {status: answer for status, answer in REFUSED.items() if status != 401},
            ),
            available=extend_schema(
                summary="List what may be exported",
                filters=False,
                responses={200: AvailableExportSerializer(many=True), **UNCHANGED, **REFUSED},
            ),
        )(type(self.target.__name__, (self.target,), {}))
