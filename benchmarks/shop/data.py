"""Make the rows of the benchmarks: the same ones on every database and in every run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

# Change it with the data, and tables that hold the old ones are filled anew.
VERSION = 1
SEED = 20260301
CUSTOMER_COLUMNS = ["id", "name"]
ORDER_COLUMNS = [
    "id",
    "customer_id",
    "reference",
    "ordered_at",
    "is_paid",
    "price",
    "quantity",
    "token",
    "due_on",
    "weight",
    "note",
]
SURNAMES = ["Abbott", "Béranger", "Castillo", "Dąbrowski", "Evans", "Fischer", "García", "O'Neill"]
KINDS = ["Ltd.", "& Sons", "Books", "GmbH", 'the "Corner" Shop', "Trading, Inc."]
WORDS = ["please", "ring", "twice", "gift", "fragile", "leave", "at", "the", "door", "größer"]
# The bits by which a random UUID is known, since MariaDB refuses some others.
UUID_MASK = ~(0xF << 76 | 0x3 << 62)
UUID_VERSION = 0x4 << 76 | 0x2 << 62
START = datetime(2023, 1, 1)  # in UTC
FIRST_DAY = date(2023, 1, 1)
DAYS = [str(FIRST_DAY + timedelta(days)) for days in range(1024)]

Row = tuple[Any, ...]


def count_customers(rows: int) -> int:
    return max(10, rows // 100)


def make_customers(rows: int) -> Iterator[Row]:
    """Yield the customers of so many orders."""
    for number in range(1, count_customers(rows) + 1):
        yield number, f"{SURNAMES[number % 8]} {KINDS[number % 6]}"


def make_orders(rows: int) -> Iterator[Row]:
    """Yield the orders, whose columns are taken from one random number each."""
    randomness = random.Random(SEED)
    notes = [_make_note(number, randomness) for number in range(1024)]
    customers = count_customers(rows)
    for number in range(1, rows + 1):
        bits = randomness.getrandbits(128)
        low, middle, high = bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF, bits >> 64 & 0xFFFFFFFF
        # Every tenth time has no fraction of a second, which is written in another way.
        microseconds = middle % 1_000_000 if high % 10 else 0
        ordered_at = START + timedelta(seconds=high % 100_000_000, microseconds=microseconds)
        yield (
            number,
            low % customers + 1 if low % 50 else None,
            f"ord-{low % 1_000_000:06d}-{'abcdefgh'[middle % 8]}",
            ordered_at.isoformat(" "),
            middle % 3 > 0,
            f"{middle % 50_000}.{low % 100:02d}",
            high % 9 + 1,
            f"{bits & UUID_MASK | UUID_VERSION:032x}",
            DAYS[high % 1024] if high % 10 else None,
            low / 4_000_003 if middle % 20 else None,
            notes[middle % 1024],
        )


def _make_note(number: int, randomness: random.Random) -> str:
    """Return what people write: mostly nothing or words, sometimes what CSV has to quote."""
    words = " ".join(randomness.choices(WORDS, k=randomness.randint(2, 6)))
    match number % 20:
        case 0 | 1:
            return f"{words}, thanks"
        case 2:
            return f'{words} "{words[:8]}"'
        case 3:
            return f"{words}\n{words}"
        case 4 if number % 3 == 0:
            return f"-{number % 30}% {words}"
        case 4 if number % 3 == 1:
            return f"=SUM(A1:A{number})"
        case remainder if remainder < 14:
            return ""
        case _:
            return words
