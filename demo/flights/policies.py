"""Tell browsers which scripts and styles to take, for the pages of the demo and its admin."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

# Scripts and styles from files of this site alone, and no text that becomes HTML in the browser.
POLICY = "default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
# Django's own admin has pictures in its style sheets, and libraries that make HTML of text.
ADMIN_POLICY = "default-src 'self'; img-src 'self' data:"


def with_policy(view: Callable[..., Any], policy: str = POLICY) -> Callable[..., Any]:
    """Send the content security policy with what the view answers."""

    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> Any:
        response = view(request, **kwargs)
        response.headers["Content-Security-Policy"] = policy
        return response

    return answer


class AdminPolicy:
    """Send the admin's content security policy with all of its pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.get_admin_response = with_policy(get_response, ADMIN_POLICY)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_admin = request.path.startswith(reverse("admin:index"))
        return (self.get_admin_response if is_admin else self.get_response)(request)
