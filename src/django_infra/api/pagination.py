"""Divide a list into pages, by number or by position, never without a limit."""

from __future__ import annotations

from typing import Any

from django.template import loader
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from django_infra.api.cursors import (
    MAX_CURSOR_LENGTH,
    TOO_LONG,
    Cursor,
    InvalidCursor,
    decode_cursor,
    encode_cursor,
)
from django_infra.api.form_fields import show
from django_infra.api.keyset import Keyset


class BoundedPageSize:
    """Let a client choose the size of a page, up to a maximum."""

    page_size: int = 50
    page_size_query_param: str = "page_size"
    max_page_size: int = 500

    def get_page_size(self, request: Request) -> int:
        """Return the size that is asked for, bounded; raise ValidationError if it is no number."""
        name, maximum = self.page_size_query_param, self.max_page_size
        text = request.query_params.get(name)
        if text is None:
            return self.page_size
        # int() refuses thousands of digits, which say no more than the maximum.
        digits = text.lstrip("0")
        if not (digits.isascii() and digits.isdecimal()):
            raise ValidationError({name: [f"{show(text)} is not a positive whole number."]})
        return maximum if len(digits) > len(str(maximum)) else min(int(digits), maximum)

    def get_page_size_parameter(self) -> dict[str, Any]:
        """Describe the parameter as OpenAPI does."""
        maximum = self.max_page_size
        return {
            "name": self.page_size_query_param,
            "in": "query",
            "required": False,
            "description": f"Rows on a page; more than {maximum} are {maximum}.",
            "schema": {"type": "integer", "minimum": 1, "default": self.page_size},
        }


class BoundedPagination(BoundedPageSize, PageNumberPagination):  # type: ignore[misc]  # never None
    """Page by number, whatever the project's own setting is, and never without a limit."""

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        return [
            self.get_page_size_parameter()
            if parameter["name"] == self.page_size_query_param
            else parameter
            for parameter in parameters
        ]


class KeysetPagination(BoundedPageSize, BasePagination):
    """Page by position: one query a page, and no row twice or left out while others come and go.

    The order is the queryset's own, or its model's, or the newest primary key first.
    """

    cursor_query_param: str = "cursor"
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:
        size = self.get_page_size(request)
        self.url = request.build_absolute_uri()
        self.keyset = Keyset(queryset)
        cursor = self.read_cursor(request)
        backward, values = cursor
        # One row more tells whether there is another page, without a COUNT.
        rows = list(self.keyset.slice(values, backward=backward, count=size + 1))
        self.has_more, page = len(rows) > size, rows[:size]
        self.cursor, self.page = cursor, page[::-1] if backward else page
        self.next_link, self.previous_link = self.get_next_link(), self.get_previous_link()
        self.display_page_controls = bool(self.next_link or self.previous_link)
        return self.page

    def read_cursor(self, request: Request) -> Cursor:
        """Return where the page begins; raise ValidationError for what is no cursor of ours."""
        text = request.query_params.get(self.cursor_query_param)
        if text is None:
            return Cursor(False, [])
        try:
            cursor = decode_cursor(text, order=self.keyset.order)
        except InvalidCursor as error:
            raise self.make_error("is not a cursor of this list in this order") from error
        if TOO_LONG not in cursor.values:
            return cursor
        # The row itself is asked for the values that had no room.
        key = [cursor.values[index] for index in self.keyset.get_key_indexes()]
        position = self.keyset.find_position(key)
        if position is None:
            raise self.make_error("stands at a row that is gone")
        return Cursor(cursor.backward, position)

    def make_error(self, fault: str) -> ValidationError:
        message = f"The cursor {fault}: begin without one."
        return ValidationError({self.cursor_query_param: [message]})

    def get_next_link(self) -> str | None:
        backward, values = self.cursor
        if not self.page:
            # Nothing is left before the cursor.
            is_start = backward and values
            return remove_query_param(self.url, self.cursor_query_param) if is_start else None
        has_next = bool(values) if backward else self.has_more
        return self.make_link(self.page[-1], backward=False) if has_next else None

    def get_previous_link(self) -> str | None:
        backward, values = self.cursor
        if not self.page:
            # Nothing is left after the cursor: what is before it ends the list.
            return None if backward or not values else self.make_link(None, backward=True)
        has_previous = self.has_more if backward else bool(values)
        return self.make_link(self.page[0], backward=True) if has_previous else None

    def make_link(self, row: object, *, backward: bool) -> str:
        """Return the URL of the page that begins beside a row, or at the end without one."""
        values = [] if row is None else self.keyset.get_position(row)
        order = self.keyset.order
        text = encode_cursor(Cursor(backward, values), order=order)
        if len(text) > MAX_CURSOR_LENGTH:
            # The key alone finds the row again, and the row has the values.
            keys = self.keyset.get_key_indexes()
            short = [value if index in keys else TOO_LONG for index, value in enumerate(values)]
            text = encode_cursor(Cursor(backward, short), order=order)
        return replace_query_param(self.url, self.cursor_query_param, text)

    def get_paginated_response(self, data: Any) -> Response:
        links = {"next": self.next_link, "previous": self.previous_link}
        return Response({**links, "results": data})

    def to_html(self) -> str:
        links = {"previous_url": self.previous_link, "next_url": self.next_link}
        return loader.get_template(self.template).render(links)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        cursor = {
            "name": self.cursor_query_param,
            "in": "query",
            "required": False,
            "description": "Where the page begins: follow `next` and `previous`.",
            "schema": {"type": "string", "maxLength": MAX_CURSOR_LENGTH},
        }
        return [cursor, self.get_page_size_parameter()]
