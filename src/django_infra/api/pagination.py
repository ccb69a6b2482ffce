from __future__ import annotations

from rest_framework.pagination import PageNumberPagination


class BoundedPagination(PageNumberPagination):
    """Page by number, whatever the project's own setting is, and never without a limit."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
