"""Tell users why an export failed, without what its error may quote."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from django_infra.exporter.exceptions import (
    ExportCancelled,
    ExportNotPermitted,
    HeartbeatFailed,
    LimitExceeded,
    WorkerLost,
    get_type_name,
)

# What those are told who may not read the error itself, by its type. A row keeps the error as text,
# which begins with the name of the type.
REASONS = {
    ExportCancelled: gettext_lazy("The export was cancelled."),
    ExportNotPermitted: gettext_lazy("The export is not permitted any more."),
    HeartbeatFailed: gettext_lazy("The export was interrupted."),
    LimitExceeded: gettext_lazy("The export is larger than allowed."),
    WorkerLost: gettext_lazy("The export was interrupted."),
}


def find_reason(error_log: str) -> str | None:
    """Return what users are told of an error of our own, if it is one of those."""
    for error, reason in REASONS.items():
        if error_log.partition(":")[0] == get_type_name(error):
            return str(reason)
    return None
