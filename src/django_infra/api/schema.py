"""Describe filters and partial serializers to drf-spectacular, once this module is imported."""

from __future__ import annotations

from typing import Any, TypeAlias

from drf_spectacular.contrib.django_filters import DjangoFilterExtension
from drf_spectacular.drainage import has_override
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import build_parameter_type, get_doc
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import OpenApiParameter

from django_infra.api.fields import PartialSerializerMixin, get_fields_parameter
from django_infra.api.filters import (
    AnyOfFilter,
    DateRangeFilter,
    DateTimeRangeFilter,
    DecimalRangeFilter,
    IntegerRangeFilter,
    SearchFilter,
)
from django_infra.api.form_fields import get_keys

# A piece of an OpenAPI document.
Schema: TypeAlias = dict[str, Any]

# For views of one object, whose filter backends do not get into a schema by themselves.
FIELDS_PARAMETER = OpenApiParameter(
    get_fields_parameter()["name"],
    get_fields_parameter()["schema"],
    description=get_fields_parameter()["description"],
)
NUMBERS: dict[type, Schema] = {
    IntegerRangeFilter: {"type": "integer", "format": "int64"},
    DecimalRangeFilter: {"type": "number"},
}
TIMES: dict[type, Schema] = {
    DateRangeFilter: {"type": "string", "format": "date"},
    DateTimeRangeFilter: {"type": "string", "format": "date-time"},
}


class FilterBackendExtension(DjangoFilterExtension):  # type: ignore[no-untyped-call]
    target_class = "django_infra.api.filters.FilterBackend"
    match_subclasses = True
    priority = 1

    def resolve_filter_field(
        self, auto_schema: Any, model: Any, filterset_class: Any, field_name: str, filter_field: Any
    ) -> list[Schema]:
        # Where the project filters or describes by itself, it knows better.
        is_special = filter_field.method or has_override(filter_field, "field")
        parameters = [] if is_special else get_parameters(field_name, filter_field)
        if not parameters:
            parameters = super().resolve_filter_field(  # type: ignore[no-untyped-call]
                auto_schema, model, filterset_class, field_name, filter_field
            )
        # A parameter without a value does not filter.
        can_be_empty = {} if filter_field.extra.get("required") else {"allowEmptyValue": True}
        return [{**parameter, **can_be_empty} for parameter in parameters]


def get_parameters(name: str, filter_field: Any) -> list[Schema]:
    """Return the parameters of a filter of this package; none for others."""
    if isinstance(filter_field, AnyOfFilter):
        return [get_any_of_parameter(name, filter_field)]
    for kind, schema in NUMBERS.items():
        if isinstance(filter_field, kind):
            bounds = {"min": "At least this.", "max": "At most this."}
            return get_bounds_parameters(name, filter_field, schema, bounds)
    for kind, schema in TIMES.items():
        if isinstance(filter_field, kind):
            bounds = {"after": "Then or later.", "before": "Then or earlier."}
            return get_bounds_parameters(name, filter_field, schema, bounds)
    if isinstance(filter_field, SearchFilter):
        text = {"type": "string", "maxLength": filter_field.extra["max_length"]}
        return [get_parameter(name, filter_field, text, "Words that a row must all have.")]
    return []


def get_any_of_parameter(name: str, filter_field: AnyOfFilter) -> Schema:
    """Describe a parameter that may come several times."""
    # A function that makes the choices may ask the database, and a schema is made without one.
    keys = [] if callable(filter_field.extra["choices"]) else get_keys(filter_field.field)
    # A schema has one type, so that choices of several are texts, as in the URL.
    is_integer = keys and all(isinstance(key, int) for key in keys)
    schema: Schema = {"type": "integer" if is_integer else "string"}
    if keys:
        schema["enum"] = keys
    parameter = get_parameter(
        name, filter_field, {"type": "array", "items": schema}, "Any of these."
    )
    return {**parameter, "style": "form", "explode": True}


def get_bounds_parameters(
    name: str, filter_field: Any, schema: Schema, bounds: dict[str, str]
) -> list[Schema]:
    """Describe the two parameters of a range."""
    return [
        get_parameter(f"{name}_{suffix}", filter_field, schema, description)
        for suffix, description in bounds.items()
    ]


def get_parameter(name: str, filter_field: Any, schema: Schema, description: str) -> Schema:
    """Describe a parameter, in the words of its filter's own ``help_text`` if it has some."""
    description = filter_field.extra.get("help_text") or description
    return build_parameter_type(
        name=name, schema=schema, location=OpenApiParameter.QUERY, description=description
    )


class PartialSerializerExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Promise no field that ``?fields=`` may leave out."""

    target_class = "django_infra.api.fields.PartialSerializerMixin"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Schema:
        schema: Schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        # The mixin tells programmers what it does; a schema tells whoever calls the API.
        if schema.get("description") == get_doc(PartialSerializerMixin):
            del schema["description"]
        # Without COMPONENT_SPLIT_REQUEST requests and responses share one component.
        if direction == "response" or not spectacular_settings.COMPONENT_SPLIT_REQUEST:
            schema.pop("required", None)
        return schema
