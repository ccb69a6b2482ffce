"""Find the servers, and name what is the limit on each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "exporter_bench"


@dataclass(frozen=True)
class Database:
    name: str
    label: str
    url: str
    # The contender to which all others are compared, and by what.
    limit: str
    measure: str = "wall"

    def get_mariadb_arguments(self) -> list[str]:
        url = urlsplit(self.url)
        return [
            f"--host={url.hostname}",
            f"--port={url.port or 3306}",
            f"--user={unquote(url.username or '')}",
            f"--database={NAME}",
        ]

    def get_environment(self) -> dict[str, str]:
        """Return the password, which others can read in the command line."""
        password = unquote(urlsplit(self.url).password or "")
        variables = {"postgresql": "PGPASSWORD", "mysql": "MYSQL_PWD"}
        return {variables[self.name]: password} if password else {}

    @property
    def url_without_password(self) -> str:
        url = urlsplit(self.url)
        user, at, host = url.netloc.rpartition("@")
        return url._replace(netloc=user.partition(":")[0] + at + host).geturl()

    @property
    def path(self) -> str:
        """The file of SQLite."""
        return self.url.removeprefix("sqlite:///")


def get_databases(folder: Path) -> dict[str, Database]:
    postgres = os.environ.get("POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    mysql = os.environ.get("MYSQL_URL", "mysql://root@127.0.0.1:3306/test")
    databases = [
        Database("postgresql", "PostgreSQL", _replace_name(postgres), limit="psql"),
        # All happens in one process, whose CPU time is steadier than its wall time.
        Database(
            "sqlite",
            "SQLite",
            f"sqlite:///{folder}/{NAME}.sqlite3",
            limit="sqlite_cursor",
            measure="cpu",
        ),
        Database("mysql", "MariaDB", _replace_name(mysql), limit="mariadb"),
    ]
    return {database.name: database for database in databases}


def _replace_name(url: str) -> str:
    return urlsplit(url)._replace(path=f"/{NAME}").geturl()
