from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# Scripts and styles from files of this site alone, and no text that becomes HTML in the browser.
POLICY = "default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"


def with_policy(view: Callable[..., Any]) -> Callable[..., Any]:
    """Send the content security policy with what the view answers."""

    @wraps(view)
    def answer(request: HttpRequest, **kwargs: Any) -> Any:
        response = view(request, **kwargs)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return answer


@login_required
@with_policy
def exports(request: HttpRequest) -> HttpResponse:
    """Show the page on which a user starts and watches exports."""
    return render(request, "flights/exports.html")
