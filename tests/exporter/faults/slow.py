"""Rows that take the server their time, and exports of them."""

from __future__ import annotations

from django.db.models import Value
from django.db.models.functions import Repeat

from django_infra.exporter.export import enqueue_export, export_queryset
from django_infra.exporter.registry import registry
from exporter.faults.naps import Nap
from testapp.models import Author

COLUMNS = ["id", "nap", "padding"]


def make_slow(seconds):
    """Return the authors, each of whom takes so long, and so much that the server sends it."""
    padding = Repeat(Value("x"), 10_000)
    return Author.objects.order_by("pk").annotate(nap=Nap(seconds), padding=padding)


def export_slow(seconds, *, counts_slowly=False):
    """Export the authors slowly, and return the outcome and the totals that were counted."""
    authors = make_slow(seconds)
    if counts_slowly:
        # What is only selected is left out of a count.
        authors = authors.exclude(nap="never")
    totals = set()
    try:
        export = export_queryset(
            authors, COLUMNS, "slow.csv", watch=lambda row_count, total: totals.add(total)
        )
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return {"state": export.state, "rows": export.row_count, "totals": list(totals)}


def run_slow_job():
    """Run it as a job at once."""

    @registry.register("slow", values=COLUMNS, permission=None)
    def slow(params, user):
        return make_slow(0.1)

    enqueue_export("slow")
