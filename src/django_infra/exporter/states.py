from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class ExportState(TextChoices):
    SCHEDULED = "scheduled", _("Scheduled")
    """The row exists, and the work has not begun."""

    PROCESSING = "processing", _("Processing")
    """A process reads rows, or saves the file."""

    SUCCESS = "success", _("Success")
    """The file is in storage, whole."""

    FAIL = "fail", _("Fail")
    """There is no file; ``error_log`` says why. This is final."""


class DataPath(TextChoices):
    """Who makes cells of the database's values."""

    COPY = "copy", _("COPY")
    """The database makes whole lines of the file."""

    SQL = "sql", _("SQL")
    """The database makes the cells of those columns for which there is a form in SQL."""

    PYTHON = "python", _("Python")
    """Django makes values, and the writer their cells."""
