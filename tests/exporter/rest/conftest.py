from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission

from exporter.rest.clients import ClosingClient


@pytest.fixture
def client():
    client = ClosingClient()
    yield client
    client.close()


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ada", password="secret")


@pytest.fixture
def other(django_user_model):
    return django_user_model.objects.create_user("grace")


@pytest.fixture
def staff(django_user_model):
    return django_user_model.objects.create_user("staff", is_staff=True)


@pytest.fixture
def permit():
    """Give a user permissions by their codenames."""

    def permit(user, *codenames):
        user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
        # Django keeps those that it has read.
        return type(user).objects.get(pk=user.pk)

    return permit


@pytest.fixture
def viewer(staff, permit):
    """A staff user who may view exports."""
    return permit(staff, "view_queryexport")


@pytest.fixture
def login(client, user):
    client.force_login(user)
    return client
