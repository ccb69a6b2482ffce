"""Fixtures of the fault tests; a module takes them by ``pytest_plugins``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from django.db import connection, connections

from django_infra.exporter.jobs import progress, worker
from exporter.faults import probes
from exporter.faults.authors import make_authors
from exporter.faults.children import Child, end_fork_server
from testapp.models import Author, Everything, Grudge

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def temp_dir(settings, tmp_path):
    """The folder of unfinished files."""
    folder = tmp_path / "unfinished"
    folder.mkdir()
    settings.EXPORTER_TEMP_DIR = str(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    """An empty folder on another file system than that of the storage."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{SHARED_MEMORY} is no file system of its own here")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def remains(media_root, temp_dir):
    """Return all that exports have left: files, open files, threads, transactions, cursors."""

    def find_remains():
        found = [
            *probes.find_files(media_root, temp_dir),
            *probes.find_open_files(media_root, temp_dir),
            *probes.find_threads(),
        ]
        if not connection.in_atomic_block:
            found += probes.find_cursors(connection)
            found += probes.find_lasting_transactions(connection)
        return found

    return find_remains


@pytest.fixture(params=["text", "values"] if connection.vendor == "postgresql" else ["text"])
def spy(request, settings):
    """Have a function called with the number of each chunk, before the chunk is written.

    PostgreSQL sends values in another way than text.
    """

    def plug_in(on_chunk, *, chunk_size=10):
        settings.EXPORTER_CHUNK_SIZE = chunk_size
        settings.EXPORTER_FORMATS = {
            "csv": {
                "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
                "OPTIONS": {"on_chunk": on_chunk, "takes_text": request.param == "text"},
            }
        }

    return plug_in


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Have progress told, and heartbeats given, twenty times a second."""
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    monkeypatch.setattr(worker, "INTERVAL", 0.05)


@pytest.fixture
def second(db):
    """A second connection to the default database."""
    second = connections.create_connection("default")
    second.ensure_connection()
    yield second
    second.close()


@pytest.fixture(scope="session")
def fork_server():
    """Have one process fork all children of this one."""
    yield
    end_fork_server()


@pytest.fixture
def child(fork_server):
    """Start processes with the test's settings, and end them with the test."""
    children = []

    def start(**overrides):
        children.append(Child(**overrides))
        return children[-1]

    yield start
    for each in children:
        each.__exit__()


@pytest.fixture
def committed_rows(db, request):
    """Remove what a test commits, in far less time than it takes to empty all tables."""
    yield
    if not connection.in_atomic_block:
        marker = request.node.get_closest_marker("django_db")
        for alias in marker.kwargs.get("databases", ["default"]):
            connections[alias].close()  # with all that was set for the session
            for model in (Author, Everything, Grudge):
                model._base_manager.using(alias)._raw_delete(alias)


@pytest.fixture
def authors(db):
    return make_authors(50)
