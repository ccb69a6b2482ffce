from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from exporter.admin.rows import PERMISSIONS


@pytest.fixture
def staff(django_user_model):
    """A staff user with every permission on exports."""
    user = django_user_model.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=PERMISSIONS))
    return user


@pytest.fixture
def page(client, staff):
    """Get a page of the admin as staff."""
    client.force_login(staff)

    def get(name, *args, **query):
        return client.get(reverse(name, args=args), query)

    return get


@pytest.fixture
def owner(client, django_user_model):
    """Staff without any permission, logged in."""
    user = django_user_model.objects.create_user("owner", is_staff=True)
    client.force_login(user)
    return user
