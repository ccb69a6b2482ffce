from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.utils.crypto import get_random_string


class Command(BaseCommand):
    help = 'Give the user "demo", who may do everything, a new password, and say it.'
    requires_migrations_checks = True

    def handle(self, **options: Any) -> None:
        password = get_random_string(12)
        rights = {"is_staff": True, "is_superuser": True, "is_active": True}
        user, _ = get_user_model().objects.update_or_create(username="demo", defaults=rights)
        user.set_password(password)
        user.save(update_fields=["password"])
        self.stdout.write(f"Log in as demo with the password {password}")
