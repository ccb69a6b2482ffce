from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone, translation

from django_infra.exporter.changelists.apart import run_apart
from testapp.models import Author

variable = ContextVar("variable", default="nothing")
local = threading.local()


def test_nothing_of_the_thread_is_there():
    token = variable.set("of the request")
    local.value = "of the request"
    try:
        assert run_apart(lambda: (variable.get(), hasattr(local, "value"))) == ("nothing", False)
    finally:
        variable.reset(token)


def leave():
    variable.set("left")
    local.left = True
    translation.activate("nl")


def test_nothing_of_its_own_is_left():
    run_apart(leave)
    assert (variable.get(), hasattr(local, "left")) == ("nothing", False)
    assert translation.get_language() == "en-us"


def test_language_and_time_zone_are_those_of_the_caller():
    with translation.override("nl"), timezone.override("Asia/Tokyo"):
        found = run_apart(
            lambda: (translation.get_language(), timezone.get_current_timezone_name())
        )
    assert found == ("nl", "Asia/Tokyo")


@pytest.mark.django_db
def test_an_open_transaction_is_the_same():
    with transaction.atomic():
        Author.objects.create(name="not committed")
        assert run_apart(lambda: Author.objects.get().name) == "not committed"
        assert run_apart(lambda: connection.in_atomic_block)


@pytest.mark.django_db(transaction=True)
def test_no_other_connection_is_opened():
    raw = connection.connection or connection.cursor().connection
    connections["other"].close()
    assert run_apart(lambda: connection.connection) is raw
    # The caller's thread may use it on.
    assert Author.objects.count() == 0
    with pytest.raises(LookupError, match="no tenant"):
        run_apart(fail)
    assert Author.objects.count() == 0


def fail():
    raise LookupError("no tenant")


@pytest.mark.django_db
def test_the_connections_belong_to_one_thread_again():
    run_apart(Author.objects.count)
    assert not connection.allow_thread_sharing
