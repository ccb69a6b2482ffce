"""Run functions as lines on the standard input ask for them.

They are of ``exporter.faults.jobs`` unless a line has the dotted path of another one.
"""

from __future__ import annotations

import json
import os
import sys

import django
from django.conf import settings
from django.utils.module_loading import import_string


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    settings.DATABASES = json.loads(os.environ["EXPORTER_CHILD_DATABASES"])
    django.setup()

    from exporter.faults import jobs  # it imports models

    for name, value in json.loads(sys.stdin.readline()).items():
        setattr(settings, name, value)
    for line in sys.stdin:
        name, kwargs = json.loads(line)
        function = import_string(name) if "." in name else getattr(jobs, name)
        jobs.say(function(**kwargs))


if __name__ == "__main__":
    main()
