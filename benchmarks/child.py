"""Call a function with Django set up, and print what it returns: child.py MODULE.FUNCTION ARGS."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

import django

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    module, _, function = sys.argv[1].rpartition(".")
    answer = getattr(import_module(module), function)(*sys.argv[2:])
    if answer is not None:
        print(json.dumps(answer))
