"""Fixtures of the tests with workers; a module takes them by ``pytest_plugins``."""

from __future__ import annotations

import pytest

from exporter.faults.children import plan_chunks
from exporter.workers.brokers import need
from exporter.workers.engines import make_engine
from exporter.workers.holds import Holds


@pytest.fixture
def use_engine(db, settings, tmp_path, fork_server):
    """Have jobs run by the engine of the name, whose workers end with the test."""
    engines = []

    def use(name, **broker_options):
        if name != "tasks" and "url" not in broker_options:
            need(name.removeprefix("celery-"))
        engine = make_engine(name, tmp_path / "logs", **broker_options)
        engines.append(engine.__enter__())
        settings.EXPORTER_RUNNER = engine.get_runner()
        return engine

    yield use
    for engine in engines:
        engine.__exit__()


@pytest.fixture
def engine(request, use_engine):
    return use_engine(request.param)


@pytest.fixture
def holds(settings, tmp_path):
    """Have the first attempt wait at its third chunk."""
    folder = tmp_path / "holds"
    folder.mkdir()
    for name, value in plan_chunks("exporter.workers.holds.hold").items():
        setattr(settings, name, value)
    settings.EXPORTER_HOLD_DIR = str(folder)
    settings.EXPORTER_HOLDS = 1
    yield Holds(folder)
    # Nobody should wait for a test that has failed.
    (folder / "released").touch()
