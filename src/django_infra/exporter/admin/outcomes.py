"""Tell what became of exports that somebody wanted to cancel or to run again."""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest
from django.utils.translation import ngettext_lazy

from django_infra.exporter.models import QueryExport


class Outcome(Enum):
    CANCELLED = auto()
    ENDED = auto()
    FOREIGN = auto()
    STARTED = auto()
    UNFINISHED = auto()
    UNNAMED = auto()
    FORBIDDEN = auto()
    TOO_MANY = auto()
    TOO_OFTEN = auto()
    UNREACHABLE = auto()
    IMPOSSIBLE = auto()
    LOCKED = auto()


# Each stands in one message beside others.
TEXTS: dict[Outcome, Any] = {
    Outcome.CANCELLED: ngettext_lazy(
        "%(count)s export was cancelled.", "%(count)s exports were cancelled.", "count"
    ),
    Outcome.ENDED: ngettext_lazy(
        "%(count)s had ended already.", "%(count)s had ended already.", "count"
    ),
    Outcome.FOREIGN: ngettext_lazy(
        "%(count)s is not yours to cancel.", "%(count)s are not yours to cancel.", "count"
    ),
    Outcome.STARTED: ngettext_lazy(
        "%(count)s export was started again.", "%(count)s exports were started again.", "count"
    ),
    Outcome.UNFINISHED: ngettext_lazy(
        "%(count)s has not ended yet.", "%(count)s have not ended yet.", "count"
    ),
    Outcome.UNNAMED: ngettext_lazy(
        "%(count)s was not started by name, and cannot be run again.",
        "%(count)s were not started by name, and cannot be run again.",
        "count",
    ),
    Outcome.FORBIDDEN: ngettext_lazy(
        "%(count)s is an export that you may not run.",
        "%(count)s are exports that you may not run.",
        "count",
    ),
    Outcome.TOO_MANY: ngettext_lazy(
        "%(count)s must wait: you have as many unfinished exports as you may.",
        "%(count)s must wait: you have as many unfinished exports as you may.",
        "count",
    ),
    Outcome.TOO_OFTEN: ngettext_lazy(
        "%(count)s must wait: you start exports too often.",
        "%(count)s must wait: you start exports too often.",
        "count",
    ),
    Outcome.UNREACHABLE: ngettext_lazy(
        "%(count)s failed at once: no worker can be reached.",
        "%(count)s failed at once: no worker can be reached.",
        "count",
    ),
    Outcome.IMPOSSIBLE: ngettext_lazy(
        "%(count)s cannot be run any more as it was.",
        "%(count)s cannot be run any more as they were.",
        "count",
    ),
    Outcome.LOCKED: ngettext_lazy(
        "%(count)s cannot be cancelled now: the database is locked. Try again later.",
        "%(count)s cannot be cancelled now: the database is locked. Try again later.",
        "count",
    ),
}
INTENDED = {Outcome.CANCELLED, Outcome.STARTED}


def tell(
    model_admin: ModelAdmin[QueryExport], request: HttpRequest, outcomes: Counter[Outcome]
) -> None:
    """Say how often each thing happened, what was intended first."""
    kinds = sorted(outcomes, key=lambda outcome: outcome.value)
    kinds.sort(key=lambda outcome: outcome not in INTENDED)
    sentences = [str(TEXTS[outcome] % {"count": outcomes[outcome]}) for outcome in kinds]
    if not INTENDED & outcomes.keys():
        level = messages.ERROR
    else:
        level = messages.SUCCESS if len(kinds) == 1 else messages.WARNING
    model_admin.message_user(request, " ".join(sentences), level)
