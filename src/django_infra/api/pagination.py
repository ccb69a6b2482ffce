from __future__ import annotations

from rest_framework.pagination import CursorPagination


class CreatedPagination(CursorPagination):
    """Page through rows, newest first, so that new rows neither repeat nor hide any.

    For models with ``created_at``, and ``id`` to tell rows of one moment apart.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    ordering = ("-created_at", "-id")
