"""Show and load only the fields that a client asks for by ``?fields=``."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from rest_framework.filters import BaseFilterBackend
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.serializers import ListSerializer, Serializer
from rest_framework.views import APIView

from django_infra.api.narrowing import is_narrowable, make_needs, narrow
from django_infra.api.selection import MAX_LENGTH, QUERY_PARAM, AnySerializer, prune, read_selection
from django_infra.api.serializer_needs import add_serializer


class PartialSerializerMixin(AnySerializer):
    """Show only what ``?fields=id,author(name)`` asks for.

    Objects are shown in part when the serializer is given one, or many, and a request in its
    context. A serializer that is given data is whole.
    """

    @cached_property
    def fields(self) -> Any:
        fields = super().fields
        # A serializer within another is given no instance: the one around it shows the rows.
        root: Any = self.parent if isinstance(self.parent, ListSerializer) else self
        is_shown = root.instance is not None and not hasattr(root, "initial_data")
        request = self.context.get("request") if is_shown else None
        # What reads self.fields from here on reads these: the property has set them.
        selection = read_selection(request, self) if request is not None else None
        if selection is not None:
            prune(self, selection)
        return fields

    def check_fields(self) -> None:
        """Raise ValidationError if the request asks for fields that there are not."""
        read_selection(self.context["request"], self)


class FieldsBackend(BaseFilterBackend):
    """Load no more than what is asked for by ``?fields=``, or else shown by the serializer.

    It comes last in ``filter_backends``, when the order is known. ``required_fields`` of the view
    are paths that it reads itself.
    """

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        serializer = view.get_serializer()
        if not isinstance(serializer, Serializer):
            return queryset
        is_partial = isinstance(serializer, PartialSerializerMixin)
        selection = read_selection(request, serializer) if is_partial else None
        # Code that changes a row may read all of it.
        if request.method not in SAFE_METHODS or not is_narrowable(queryset):
            return queryset
        needs = make_needs(queryset)
        for path in getattr(view, "required_fields", ()):
            needs.add_path(path)
        add_serializer(needs, serializer, selection)
        return narrow(queryset, needs)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [get_fields_parameter()]


def get_fields_parameter() -> dict[str, Any]:
    """Describe ``?fields=`` as OpenAPI does."""
    return {
        "name": QUERY_PARAM,
        "in": "query",
        "required": False,
        "description": "Names of the fields to show, divided by commas; those inside a field "
        "stand in parentheses after it: `id,author(name)`. Without it all are shown.",
        "schema": {"type": "string", "maxLength": MAX_LENGTH},
    }
