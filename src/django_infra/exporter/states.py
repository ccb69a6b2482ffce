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
