"""Several slow exports at once in one process, in threads, greenlets or requests of ASGI."""

from __future__ import annotations

import sys

HOW, COUNT, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if HOW == "greenlets":
    from gevent import monkey

    monkey.patch_all()

import asyncio
import json
import logging
import os
import threading

import django
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
for name, value in json.loads(os.environ["EXPORTER_CHILD_SETTINGS"]).items():
    setattr(settings, name, value)
settings.ROOT_URLCONF = __name__
settings.ALLOWED_HOSTS = ["*"]
django.setup()

from django.core.asgi import get_asgi_application
from django.db import close_old_connections, connection

from django_infra.exporter.export import export_queryset
from django_infra.exporter.jobs import progress
from exporter.faults.slow import COLUMNS, make_slow

progress.INTERVAL = 0.2
logging.disable()


def export(number):
    try:
        done = export_queryset(make_slow(SECONDS), COLUMNS, f"{number}.csv")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return done.state


async def view(request, number):
    return JsonResponse({"outcome": await sync_to_async(export)(number)})


urlpatterns = [path("<int:number>", view)]


def export_in_threads():
    """Do it in as many threads, or in as many greenlets where they take the place of threads."""
    outcomes = []
    barrier = threading.Barrier(COUNT)

    def run(number):
        barrier.wait()
        try:
            outcomes.append(export(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


async def export_in_requests():
    application = get_asgi_application()
    return await asyncio.gather(*(ask(application, number) for number in range(COUNT)))


async def ask(application, number):
    scope = {"type": "http", "method": "GET", "path": f"/{number}", "headers": []}
    scope["query_string"] = b""
    asked = ApplicationCommunicator(application, scope)
    await asked.send_input({"type": "http.request", "body": b"", "more_body": False})
    await asked.receive_output(timeout=100)
    return json.loads((await asked.receive_output(timeout=100))["body"])["outcome"]


if __name__ == "__main__":
    made = asyncio.run(export_in_requests()) if HOW == "requests" else export_in_threads()
    close_old_connections()
    print(json.dumps(made), flush=True)
