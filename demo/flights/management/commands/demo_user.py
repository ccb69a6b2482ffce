"""Make the users of the demo."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management.base import BaseCommand, CommandParser
from django.utils.crypto import get_random_string

# What each may do; the second shows what a page leaves out for those who may do little.
USERS: dict[str, dict[str, Any]] = {
    "demo": {"is_superuser": True, "permissions": []},
    "clerk": {"is_superuser": False, "permissions": ["view_airline", "view_flight"]},
}


class Command(BaseCommand):
    help = "Give a user a new password, and say it: demo may do everything, clerk view flights."
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="?", choices=USERS, default="demo")

    def handle(self, *, username: str, **options: Any) -> None:
        password = get_random_string(12)
        rights = {**USERS[username], "is_staff": True, "is_active": True}
        codenames = rights.pop("permissions")
        user, _ = get_user_model().objects.update_or_create(username=username, defaults=rights)
        user.user_permissions.set(
            Permission.objects.filter(content_type__app_label="flights", codename__in=codenames)
        )
        user.set_password(password)
        user.save(update_fields=["password"])
        self.stdout.write(f"Log in as {username} with the password {password}")
