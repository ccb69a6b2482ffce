"""Compare the query behind a page with that of a worker, as their database gets them.

1. The query is compiled for the rows' own database, and its literals are composed by that backend.
2. Lists of IN are sets: their order may differ between processes.
3. Dates and times are kept beside the digest of the rest, as they may move with the clock.
4. So are the days of the database's own clock, if the query depends on them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.crypto import salted_hmac

from django_infra.exporter.changelists.clocks import depends_on_day, read_days
from django_infra.exporter.changelists.literals import compose_literal
from django_infra.exporter.changelists.moments import find_moment_fault, make_moment
from django_infra.exporter.changelists.sessions import read_session
from django_infra.exporter.columns import AnyQuerySet
from django_infra.exporter.exceptions import InvalidParams, OtherRows

# A query with more is compared literal by literal: so many are keys, and no times of a clock.
MAX_MOMENTS = 100
# One of two replicas is missed only once in 2**63 times.
DRAWS = 64
SALT = "django_infra.exporter.changelists.statements"

# SQL is read as far as commas and parentheses go, and what is quoted is one token.
_TOKEN = re.compile(
    r"""(?:"(?:[^"]|"")*"|'(?:[^']|'')*'|`[^`]*`)|%s|%%|[(),]|[^"'`%(),]+|.""", re.DOTALL
)
_PLACEHOLDER = re.compile(r"%%|%s")


@dataclass(frozen=True)
class Statement:
    """A query as its database gets it, and when it was made."""

    # A router that draws lots among replicas gives several.
    databases: frozenset[str]
    digest: str
    moments: tuple[str, ...]
    session: Mapping[str, str]
    since: datetime
    until: datetime

    @classmethod
    def read(cls, rows: AnyQuerySet, *, since: datetime, until: datetime) -> Statement:
        """Return that of the rows, which were made between two times."""
        databases = frozenset(rows.db for _ in range(DRAWS))
        connection = connections[min(databases)]
        connection.ensure_connection()
        # Compiling changes a query, and some of what it changes is shared with its clones.
        query = rows.query.clone()
        try:
            sql, params = query.get_compiler(connection=connection).as_sql()
        except EmptyResultSet:
            sql, params = "", ()
        parts = _read_query(sql, [_Part.of_literal(each, connection) for each in params])
        text, moments = "\0".join((sql, *(each.text for each in parts))), _list_moments(parts)
        if len(moments) > MAX_MOMENTS:
            text, moments = "\0".join((text, *moments)), ()
        if depends_on_day(sql, params):
            moments += read_days(sql, params, connection)
        digest = salted_hmac(SALT, text, algorithm="sha256").hexdigest()
        return cls(databases, digest, moments, read_session(connection), since, until)

    @classmethod
    def load(cls, data: Any) -> Statement:
        """Return what ``dump()`` has given; raise InvalidParams for what it never gives."""
        try:
            return cls(
                databases=frozenset(map(str, data["databases"])),
                digest=data["digest"],
                moments=tuple(map(str, data["moments"])),
                session={str(name): str(value) for name, value in data["session"].items()},
                since=datetime.fromisoformat(data["since"]).astimezone(UTC),
                until=datetime.fromisoformat(data["until"]).astimezone(UTC),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidParams("The statement of the change list cannot be read.") from error

    def dump(self) -> dict[str, Any]:
        """Return it as JSON carries it."""
        return {
            "databases": sorted(self.databases),
            "digest": self.digest,
            "moments": list(self.moments),
            "session": dict(self.session),
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
        }

    def check(self, later: Statement) -> None:
        """Raise OtherRows, which names the cause, if a later one finds other rows."""
        for name in sorted(later.databases - self.databases):
            raise OtherRows.of_database(min(self.databases), name)
        for name in sorted({*self.session, *later.session}):
            if self.session.get(name) != later.session.get(name):
                raise OtherRows.of_session(name)
        if later.digest != self.digest or len(later.moments) != len(self.moments):
            raise OtherRows.of_query()
        passed = (later.since - self.until, later.until - self.since)
        for first, second in zip(self.moments, later.moments, strict=False):
            if fault := find_moment_fault(first, second, *passed):
                raise fault


def get_time() -> datetime:
    """Return the time that a statement is made at."""
    return datetime.now(UTC)


@dataclass(frozen=True, order=True)
class _Part:
    """What stands between two commas."""

    text: str
    moments: tuple[str, ...]

    @classmethod
    def of_literal(cls, value: object, connection: BaseDatabaseWrapper) -> _Part:
        """Return the part that a literal is alone."""
        moment = make_moment(value)
        if moment is None:
            text = compose_literal(value, connection)
            return cls(f"\0{len(text)}:{text}", ())
        kind = type(value) if isinstance(value, date | time) else str
        return cls(f"\0{kind.__name__}", (moment,))


def _read_query(sql: str, literals: list[_Part]) -> list[_Part]:
    """Return the parts of a query, with its lists of IN in one order."""
    tokens = _TOKEN.findall(sql)
    rest = iter(tokens)
    places = sum(map(_count_places, tokens))
    parts = list(_read_parts(rest, iter(literals)))
    # Where SQL is quoted in a way that is not known here, each literal counts where it is.
    is_read = places == len(literals) and next(rest, None) is None
    return parts if is_read else literals


def _read_parts(tokens: Iterator[str], literals: Iterator[_Part]) -> Iterator[_Part]:
    """Yield the parts up to the parenthesis that ends them."""
    text = ""
    moments: tuple[str, ...] = ()
    for token in tokens:
        if token == ")":
            break
        if token == ",":
            yield _Part(text.strip(), moments)
            text, moments = "", ()
        elif token == "(":
            inner = list(_read_parts(tokens, literals))
            is_subquery = inner[0].text.upper().startswith(("SELECT", "WITH", "(SELECT"))
            if text.rstrip().upper().endswith(" IN") and not is_subquery:
                inner = sorted(set(inner))
            text += f"({','.join(each.text for each in inner)})"
            moments += _list_moments(inner)
        else:
            found = list(itertools.islice(literals, _count_places(token)))
            text += token + "".join(each.text for each in found)
            moments += _list_moments(found)
    yield _Part(text.strip(), moments)


def _count_places(token: str) -> int:
    return _PLACEHOLDER.findall(token).count("%s")


def _list_moments(parts: list[_Part]) -> tuple[str, ...]:
    return tuple(moment for part in parts for moment in part.moments)
