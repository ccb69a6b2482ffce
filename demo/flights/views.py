"""Show the page for users who are not staff."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from flights.policies import with_policy


@login_required
@with_policy
def exports(request: HttpRequest) -> HttpResponse:
    """Show the page on which a user starts and watches exports."""
    return render(request, "flights/exports.html")
