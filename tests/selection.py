"""Choose the tests of a run: by its level, by the database, and by the seed."""

from __future__ import annotations

import os
import random
import sys
from collections import defaultdict
from contextlib import contextmanager

import pytest
from django.db import connection

LEVELS = ("check", "test", "thorough")
LEFT_OUT = pytest.StashKey()  # how many tests of this database are not of the level or the sample
# A test that uses one of these starts or asks something outside of this process.
EXTERNAL_FIXTURES = {"chromium", "live_server", "fork_server", "use_engine"}
# Of Django's connections, as their vendor and their module are called.
DATABASES = {"sqlite", "postgresql", "mysql", "psycopg", "psycopg2", "MySQLdb", "pymysql"}
STARTS = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"}


def pytest_addoption(parser):
    parser.addoption(
        "--level",
        choices=LEVELS,
        default="test",
        help="check: what needs nothing outside of its process; test: all, with samples of the"
        " sweeps; thorough: all of everything.",
    )


def pytest_configure(config):
    os.environ["EXPORTER_TEST_LEVEL"] = config.getoption("level")
    if hasattr(config, "workerinput"):
        # This process is measured; what its tests start would take twice as long for few lines.
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    sys.addaudithook(refusal)


@pytest.hookimpl(trylast=True)  # after the order has been made a random one
def pytest_collection_modifyitems(config, items):
    for item in items:
        if EXTERNAL_FIXTURES.intersection(item.fixturenames):
            item.add_marker("external")
        if "chromium" in item.fixturenames:
            # An error in the middle of its event loop would be the end of the browser too.
            item.add_marker(pytest.mark.timeout(method="thread"))
    level = config.getoption("level")
    chosen = [item for item in items if is_of_level(item, level) and is_of_database(item)]
    if level != "thorough":
        chosen = take_samples(chosen, random.Random(config.getoption("randomly_seed", 0)))
    kept = set(chosen)
    left_out = [item for item in items if item not in kept]
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = sum(is_of_database(item) for item in left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = config.stash[LEFT_OUT]
    # What waits for others begins first, and one process starts what such tests share.
    items[:] = sorted(chosen, key=get_urgency)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Learn from a process what it left out: all have collected the same, if they have not died."""
    if hasattr(node, "workeroutput"):
        node.config.stash[LEFT_OUT] = node.workeroutput["left_out"]


def is_of_level(item, level):
    if level == "check":
        return not item.get_closest_marker("external") and not item.get_closest_marker("thorough")
    return level == "thorough" or not item.get_closest_marker("thorough")


def is_of_database(item):
    names = {connection.vendor, connection.Database.__name__}
    for marker in item.iter_markers("only_on"):
        if unknown := set(marker.args) - DATABASES:
            known = ", ".join(sorted(DATABASES))
            raise pytest.UsageError(
                f"{item.nodeid} is marked only_on {min(unknown)!r}, which is none of {known}."
            )
        if not names.intersection(marker.args):
            return False
    return True


def take_samples(items, chance):
    """Leave of the parameters of each marked test as many as the mark says."""
    sampled = defaultdict(list)
    for item in items:
        if marker := item.get_closest_marker("sample"):
            sampled[item.nodeid.partition("[")[0], marker.args[0]].append(item)
    left_out = set()
    for (_, count), group in sorted(sampled.items(), key=lambda entry: entry[0]):
        group.sort(key=lambda item: item.nodeid)
        left_out.update(chance.sample(group, max(len(group) - count, 0)))
    return [item for item in items if item not in left_out]


@pytest.fixture
def sampling(request):
    """Return a function that gives the count and the seed of a sample; thorough runs take all."""
    seed = request.config.getoption("randomly_seed", 0)
    is_thorough = request.config.getoption("level") == "thorough"
    return lambda count: {"count": None if is_thorough else count, "seed": seed}


def get_urgency(item):
    return "chromium" not in item.fixturenames, item.get_closest_marker("external") is None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    refusal.offender = None if item.get_closest_marker("external") else item.nodeid
    try:
        return (yield)
    finally:
        refusal.offender = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    yield
    if item.nodeid in refusal.offences:
        # What is tested may have caught the error.
        refusal.offences.remove(item.nodeid)
        pytest.fail(make_refusal(item.nodeid))


class Refusal:
    """Fail a test that starts a process without being marked as external."""

    offender = None

    def __init__(self):
        self.offences = set()

    def __call__(self, event, arguments):
        if self.offender and event in STARTS:
            self.offences.add(self.offender)
            raise RuntimeError(make_refusal(self.offender))


def make_refusal(test):
    return f"{test} starts a process, and must be marked as external."


refusal = Refusal()


@contextmanager
def processes_allowed():
    """Let what is done once for all tests start processes."""
    offender, refusal.offender = refusal.offender, None
    try:
        yield
    finally:
        refusal.offender = offender
