"""Export so many rows, in a process of its own, and print the peak of its memory in bytes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import django

django.setup()

from django.conf import settings
from django.db import connection
from django.db.models import Value

from django_infra.exporter.export import export_queryset
from testapp.models import Publisher


def get_peak() -> int:
    """Return the peak of the resident set of this program alone; ru_maxrss knows its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def main(database: str, rows: int, media_root: str) -> None:
    connection.settings_dict["NAME"] = database
    settings.MEDIA_ROOT = media_root
    qs = Publisher.objects.annotate(number=Value(7)).order_by("id")[:rows]
    export = export_queryset(qs, ["id", "name", "number"])
    assert export.row_count == rows, export.row_count
    export.delete()
    print(get_peak())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
