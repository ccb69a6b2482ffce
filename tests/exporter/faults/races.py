"""Two exports that start at the same moment and want the same path."""

from __future__ import annotations

import threading

from django.db import connections

from django_infra.exporter.export import export_queryset
from django_infra.exporter.models import QueryExport
from exporter.faults.authors import COLUMNS

NAMES = ("Author", "Other")


def split(authors):
    """Give the racers rows of their own: 20 that are called Author, and 30 called Other."""
    authors.filter(pk__gt=authors[19].pk).update(name="Other")


def race(authors, *, rounds):
    """Let two threads export to one path after the other, and return what each came to."""
    split(authors)
    barrier = threading.Barrier(2)
    outcomes = {name: [] for name in NAMES}

    def compete(name):
        try:
            for number in range(rounds):
                barrier.wait(timeout=60)
                outcomes[name].append(export_authors_called(name, f"{number}.csv"))
        finally:
            connections.close_all()

    def export_authors_called(name, path):
        try:
            export = export_queryset(authors.filter(name__startswith=name), COLUMNS, path)
        except Exception as error:
            return {"error": type(error).__name__, "message": str(error)}
        return {"state": export.state, "rows": export.row_count}

    threads = [threading.Thread(target=compete, args=[name]) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return list(zip(*outcomes.values(), strict=True))


def assert_one_winner_each(pairs, read):
    """Check that each round has one Success, whose rows are the ones in the file."""
    for number, pair in enumerate(pairs):
        (winner,) = (outcome for outcome in pair if outcome.get("state") == "success")
        (loser,) = (outcome for outcome in pair if "error" in outcome)
        assert loser["error"] == "FileAlreadyExists", loser["message"]
        rows = read(number).splitlines()[1:]
        assert len(rows) == winner["rows"]
        assert all(NAMES[pair.index(winner)] in row for row in rows)
    states = list(QueryExport.objects.values_list("state", flat=True))
    assert states.count("success") == len(pairs)
    assert set(states) <= {"success", "fail"}
