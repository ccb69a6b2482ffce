from __future__ import annotations

import pytest

from django_infra.exporter.columns import select
from django_infra.exporter.sources import get_source
from testapp.models import Publisher

pytestmark = pytest.mark.only_on("mysql")


@pytest.fixture
def selection(db):
    Publisher.objects.bulk_create([Publisher(name=str(number)) for number in range(50)])
    return select(Publisher.objects.order_by("id"), ["name"])


def test_cursor_is_unbuffered(selection):
    source = get_source(selection)
    with source.open_cursor() as cursor:
        cursor.execute("SELECT 1 UNION SELECT 2")

        # A buffered cursor would know.
        assert cursor.rowcount in {-1, 18446744073709551615}
        assert len(cursor.fetchall()) == 2


def test_queries_are_logged_like_django_s_own(selection, django_assert_num_queries):
    source = get_source(selection)
    with django_assert_num_queries(3) as queries, source.open() as reading:
        assert len(next(reading.chunks)) == 1

    assert "SELECT `testapp_publisher`.`name`" in queries[1]["sql"]
