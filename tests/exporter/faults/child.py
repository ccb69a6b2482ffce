"""Run functions of ``exporter.faults.jobs``, as lines on the standard input ask for them."""

from __future__ import annotations

import json
import os
import sys

import django
from django.conf import settings


def main():
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    settings.DATABASES = json.loads(os.environ["EXPORTER_CHILD_DATABASES"])
    django.setup()

    from exporter.faults import jobs  # it imports models

    for name, value in json.loads(sys.stdin.readline()).items():
        setattr(settings, name, value)
    for line in sys.stdin:
        function, kwargs = json.loads(line)
        jobs.say(getattr(jobs, function)(**kwargs))


if __name__ == "__main__":
    main()
