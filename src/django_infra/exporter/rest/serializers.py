"""Say over REST what an export is, and start one from what a client sends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import QueryDict
from django.utils.duration import duration_iso_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, Throttled, ValidationError

from django_infra.api.fields import PartialSerializerMixin
from django_infra.exporter.access import get_rights
from django_infra.exporter.delivery.paths import MAX_NAME_LENGTH
from django_infra.exporter.exceptions import (
    ExportNotPermitted,
    InvalidOwner,
    InvalidParams,
    TooManyExports,
    UnknownExport,
    UnsupportedFormat,
)
from django_infra.exporter.export import enqueue_export
from django_infra.exporter.models import QueryExport
from django_infra.exporter.reasons import find_reason
from django_infra.exporter.registry.params import MAX_SHOWN
from django_infra.exporter.writers import MAX_FORMAT_LENGTH


class ISODurationField(serializers.DurationField):
    """A duration as ISO 8601 has it: ``P0DT00H00M09.110000S``."""

    def to_representation(self, value: timedelta) -> str:
        return duration_iso_string(value)


class MetadataSerializer(PartialSerializerMixin, serializers.Serializer[QueryExport]):
    """What was measured of an export."""

    start_time = serializers.DateTimeField(read_only=True, allow_null=True)
    job_time = ISODurationField(read_only=True, allow_null=True)
    file_size = serializers.IntegerField(
        read_only=True, allow_null=True, help_text=gettext_lazy("In bytes.")
    )
    row_count = serializers.IntegerField(read_only=True, allow_null=True)
    progress_percent = serializers.IntegerField(read_only=True, allow_null=True)
    error_log = serializers.SerializerMethodField()

    class Meta:
        requires = {"error_log": ["error_log"]}

    def get_error_log(self, export: QueryExport) -> str:
        """Return the whole text for staff; it may quote SQL, paths and data."""
        # A project's class of users need not have the field.
        is_staff = getattr(self.context["request"].user, "is_staff", False)
        if not export.error_log or is_staff:
            return export.error_log
        return str(find_reason(export.error_log) or _("The export failed."))


class QueryExportSerializer(PartialSerializerMixin, serializers.ModelSerializer[QueryExport]):
    """An export and what has become of it."""

    download_url = serializers.SerializerMethodField()
    estimated_seconds_left = serializers.IntegerField(read_only=True, allow_null=True)
    metadata = MetadataSerializer(source="*", read_only=True)

    class Meta:
        model = QueryExport
        fields = [
            "id",
            "name",
            "state",
            "format",
            "checksum",
            "created_by",
            "created_at",
            "finished_at",
            "expires_at",
            "download_url",
            "estimated_seconds_left",
            "metadata",
        ]
        read_only_fields = fields
        requires = {
            "download_url": ["state", "file", "expires_at", "name", "created_by_id"],
            "estimated_seconds_left": ["state", "progress_percent", "start_time", "heartbeat_at"],
        }

    def get_download_url(self, export: QueryExport) -> str | None:
        # In a list the parent has the page, whose rights are read by one query.
        page = getattr(self.parent, "instance", None) or ()
        rights = get_rights(self.context["request"])
        if not (export.is_downloadable and rights.may_download(export, among=page)):
            return None
        url: str = self.context["view"].reverse_action("download", args=[export.pk])
        return url


class StartSerializer(serializers.Serializer[QueryExport]):
    """What starts a named export."""

    name = serializers.CharField(
        max_length=MAX_NAME_LENGTH, help_text=gettext_lazy("Of one of the available exports.")
    )
    params = serializers.DictField(
        required=False, help_text=gettext_lazy("Values by name, as the export declares them.")
    )
    format = serializers.CharField(
        required=False,
        max_length=MAX_FORMAT_LENGTH,
        help_text=gettext_lazy("One of the export's formats; the first of them by default."),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is misspelt; a form may send more than its fields."""
        data = self.initial_data
        if not isinstance(data, QueryDict) and (unknown := [*data.keys() - self.fields.keys()]):
            allowed = _("Unknown. Allowed: %s.") % ", ".join(self.fields)
            raise ValidationError({key: [allowed] for key in sorted(unknown)[:MAX_SHOWN]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> QueryExport:
        """Hand the export over, or say what is wrong, by field."""
        try:
            return enqueue_export(**validated_data)
        except (ExportNotPermitted, InvalidOwner) as error:
            raise PermissionDenied(_("You may not run this export.")) from error
        except TooManyExports as error:
            message = _("You have as many unfinished exports as you may.")
            raise Throttled(detail=message) from error
        except UnknownExport as error:
            message = _("There is no export of this name.")
            raise ValidationError({"name": [message]}) from error
        except UnsupportedFormat as error:
            raise ValidationError({"format": [str(error)]}) from error
        except InvalidParams as error:
            messages = {
                name: [each["message"] for each in found] for name, found in error.errors.items()
            }
            # Without errors by name, all parameters are refused together.
            raise ValidationError({"params": messages or [str(error)]}) from error
