"""Run a management command on the databases and with the settings of a test."""

from __future__ import annotations

import json
import os

from django.conf import settings
from django.core.management import execute_from_command_line


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    for name, value in json.loads(os.environ["EXPORTER_CHILD_SETTINGS"]).items():
        setattr(settings, name, value)
    execute_from_command_line()


if __name__ == "__main__":
    main()
