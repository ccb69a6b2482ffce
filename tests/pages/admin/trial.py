"""What the demo's site has besides, while its admin is tested: settings, rows, exports, users."""

from __future__ import annotations

from sites import FEW_FLIGHTS

ROWS = 100
MAX_DIRECT_ROWS = 20

SETTINGS = f"""
from project.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "trial"]
MIDDLEWARE = [*MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
EXPORTER_CHUNK_SIZE = 1
EXPORTER_ADMIN_MAX_DIRECT_ROWS = {MAX_DIRECT_ROWS}
EXPORTER_MAX_ACTIVE_PER_USER = None
EXPORTER_RETRY_DELAY = 0
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""

# An expression that waits at the row whose number the file names, and exports that have it.
GATE = """
import os, time
from pathlib import Path
from django.db.backends.signals import connection_created
from django.db.models import Func, IntegerField

def wait(row):
    while row is not None and int(Path(os.environ["TRIAL_GATE"]).read_text()) < row:
        time.sleep(0.02)
    return row

def add_function(connection, **kwargs):
    connection.connection.create_function("wait", 1, wait)

connection_created.connect(add_function)
row = Func("altitude", function="wait", output_field=IntegerField())
"""

EXPORTS = """
from django_infra.exporter.jobs import progress, worker
from django_infra.exporter.registry import register
from flights.models import Airport
from trial.gate import row

progress.INTERVAL = worker.INTERVAL = 0.1

@register("gated", permission=None, values=["faa", "row"], verbose_name="Airports at the gate")
def gated(params, user):
    return Airport.objects.filter(altitude__gt=0).annotate(row=row).order_by("faa")

@register(
    "failing", permission=None, values=["faa"], max_rows=1, verbose_name="Too many airports",
    description="<b>Too</b> many",
)
def failing(params, user):
    return Airport.objects.order_by("faa")
"""

# An export of this list waits at the gate, and so would the list while the gate is closed.
ADMIN = """
from django.contrib import admin
from flights.admin import AirportAdmin
from flights.models import Airport
from trial.gate import row

admin.site.unregister(Airport)

@admin.register(Airport)
class GatedAirportAdmin(AirportAdmin):
    show_full_result_count = False
    list_display = [*AirportAdmin.list_display, "gate"]

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(row=row)

    @admin.display(ordering="row")
    def gate(self, airport):
        return airport.row
"""

DATA = f"""
{FEW_FLIGHTS}
from django.contrib.auth.models import Permission, User
Airport.objects.bulk_create(
    Airport(faa=f"{{row:03}}", name=f"Airport {{row}}", altitude=row)
    for row in range(1, {ROWS + 1})
)
Airline.objects.create(code="UA", name='Ünited, "Air"')
Airline.objects.create(code="ZZ", name="Airline of a name that is " + "very " * 5 + "long")
lga = Airport.objects.create(faa="LGA", name="La Guardia")
sfo = Airport.objects.create(faa="SFO", name="San Francisco")
Flight.objects.bulk_create(
    Flight(
        airline_id="AA" if number % 2 else "UA", number=number,
        origin=lga if number % 4 >= 2 else jfk, destination=lax if number % 5 else sfo,
        date=hour.date(), time_hour=hour, scheduled_departure=hour, scheduled_arrival=hour.time(),
        departure_delay=number - 120, air_time=number, distance=2 * number + 1,
    )
    for number in range(100, 140)
)
for name, codenames in {{
    "ada": ["view_airline", "view_airport", "view_flight"],
    "clerk": ["view_flight"],
    "mole": [],
}}.items():
    user = User.objects.create_user(name, password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
User.objects.create_superuser("boss", password="secret")
"""

SESSIONS = """
import json
from django.contrib.auth.models import User
from django.test import Client
sessions = {}
for user in User.objects.all():
    client = Client()
    client.force_login(user)
    sessions[user.username] = client.cookies["sessionid"].value
print(json.dumps(sessions))
"""

MODULES = {"gate": GATE, "exports": EXPORTS, "admin": ADMIN}
