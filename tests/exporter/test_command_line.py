"""The commands as a shell runs them: exit codes, pipes, terminals and signals."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from django_infra.exporter.models import QueryExport
from exporter.faults.authors import COLUMNS, make_authors_csv
from exporter.faults.children import TIMEOUT, plan_chunks, start_command
from exporter.faults.marks import commits
from exporter.faults.probes import find_files, wait_until_stopped

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = [*commits, pytest.mark.external]

AUTHORS = ["export_queryset", "testapp.Author", "--values", *COLUMNS, "--order-by", "id"]
STREAM = [*AUTHORS, "--output", "-"]


@pytest.fixture
def start():
    """Start commands, and end them with the test."""
    processes = []

    def start(*arguments, **options):
        processes.append(start_command(*arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    """Run a command, and return its exit code, its output and its errors."""

    def run(*arguments, **options):
        process = start(*arguments, **options)
        output, errors = process.communicate(timeout=TIMEOUT)
        return process.returncode, output, errors.decode()

    return run


@pytest.fixture
def run_on_terminal(start):
    """Run a command whose errors a terminal shows, and return its exit code and what is shown."""

    def run(*arguments, **options):
        main, terminal = pty.openpty()
        shown = []
        reader = threading.Thread(target=read_terminal, args=(main, shown))
        try:
            process = start(*arguments, stderr=terminal, **options)
            os.close(terminal)
            reader.start()
            process.communicate(timeout=TIMEOUT)
            reader.join(TIMEOUT)
        finally:
            os.close(main)
        return process.returncode, b"".join(shown).decode()

    return run


def read_terminal(file, shown):
    try:
        while piece := os.read(file, 1 << 16):
            shown.append(piece)
    except OSError:  # as Linux ends it
        return


# ------------------------------------------------------------------------ exit codes


def test_success_is_zero_and_says_only_the_path(authors, run, media_root):
    code, output, errors = run(*AUTHORS)

    assert (code, errors) == (0, "")
    assert (media_root / output.decode().strip()).read_bytes() == make_authors_csv(authors)


def test_success_of_a_stream_says_nothing(authors, run):
    assert run(*STREAM) == (0, make_authors_csv(authors), "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export_queryset", "testapp.Author"], 1, r"^CommandError: --values is missing.*\n$"),
        ([*AUTHORS, "--user", "me"], 1, r"^CommandError: .*\n$"),
        (["export_queryset"], 2, "(?s)^usage: .*required: NAME"),
        ([*AUTHORS, "--filter", "name"], 2, "(?s)^usage: .*must have the form"),
        (["exports", "--limit", "0"], 2, "(?s)^usage: .*positive integer"),
    ],
)
def test_mistakes(run, arguments, code, message):
    ended, output, errors = run(*arguments)

    assert (ended, output) == (code, b"")
    assert re.search(message, errors)


@pytest.mark.parametrize("place", [[], ["--output", "a.csv"], ["--output", "-"]])
def test_a_failure_half_way_is_one_and_no_traceback(authors, run, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)

    code, output, errors = run(*AUTHORS, *place, EXPORTER_MAX_ROWS=30, EXPORTER_CHUNK_SIZE=10)

    assert (code, errors) == (1, "CommandError: Too many rows: an export may have 30.\n")
    assert find_files(tmp_path) == []
    # What is read before the limit is known to be exceeded has left.
    assert output == (
        b"".join(make_authors_csv(authors).splitlines(True)[:32]) if place[1:] == ["-"] else b""
    )


@pytest.mark.parametrize("place", [[], ["--output", "a.csv"], ["--output", "-"]])
def test_an_interrupt_is_130(authors, run, tmp_path, monkeypatch, temp_dir, place):
    monkeypatch.chdir(tmp_path)

    code, _, errors = run(*AUTHORS, *place, **plan_chunks("interrupt_at_third_chunk"))

    assert (code, errors) == (130, "Interrupted.\n")
    assert find_files(tmp_path) == []
    rows = QueryExport.objects.values_list("state", "error_log")
    ended = ("fail", "KeyboardInterrupt (the process was told to end)")
    assert list(rows) == ([] if place else [ended])


# ----------------------------------------------------------------------------- pipes


def test_the_first_rows_leave_at_once(authors, start):
    process = start(*STREAM, **plan_chunks("stop_at_third_chunk"))
    wait_until_stopped(process.pid)

    first = os.read(process.stdout.fileno(), 1 << 16)
    process.send_signal(signal.SIGCONT)
    rest, _ = process.communicate(timeout=TIMEOUT)

    assert len(first.splitlines()) == 1 + 1 + 10
    assert first + rest == make_authors_csv(authors)
    assert process.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_broken_pipe_is_141_and_quiet(authors, start, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    process = start(*STREAM, **plan_chunks("stop_at_third_chunk"))
    wait_until_stopped(process.pid)

    process.stdout.close()
    process.send_signal(signal.SIGCONT)

    assert process.stderr.read() == b""
    assert process.wait(TIMEOUT) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is always full here")
def test_a_full_disk_is_an_error(authors, run):
    with open("/dev/full", "wb") as full:
        code, _, errors = run(*STREAM, stdout=full)

    assert code == 1
    assert errors.startswith("CommandError: OSError: [Errno 28]")


# ------------------------------------------------------------------------- terminals


SLOWLY = plan_chunks("nap", chunk_size=1)


@pytest.mark.parametrize("place", [[], ["--output", "a.csv"], ["--output", "-"]])
def test_a_terminal_shows_a_bar(authors, run_on_terminal, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)

    code, shown = run_on_terminal(*AUTHORS, *place, stdout=subprocess.DEVNULL, **SLOWLY)

    frames = shown.split("\r")
    assert code == 0
    assert any(re.search(r"^testapp.Author: \d+ rows \[.*rows/s\]", frame) for frame in frames)
    assert re.search(r"^testapp.Author: 100%\|.*\| 50/50 \[.*rows/s\]\s*$", frames[-2] + frames[-1])


@pytest.mark.parametrize("quiet", [["--no-progress"], ["--verbosity", "0"]])
def test_a_terminal_stays_quiet_on_request(authors, run_on_terminal, tmp_path, quiet):
    output = tmp_path / "a.csv"

    shown = run_on_terminal(*AUTHORS, *quiet, "--output", output, stdout=subprocess.DEVNULL)

    assert shown == (0, "")


def test_no_bar_is_drawn_among_the_rows(authors, run_on_terminal):
    main, terminal = pty.openpty()
    try:
        assert run_on_terminal(*STREAM, stdout=terminal) == (0, "")
        rows = os.read(main, 1 << 16).replace(b"\r\r\n", b"\r\n")
    finally:
        os.close(main)
        os.close(terminal)

    assert rows == make_authors_csv(authors)


def test_a_terminal_tells_what_to_install(authors, run_on_terminal, tmp_path):
    (tmp_path / "tqdm.py").write_text("raise ImportError")
    output = tmp_path / "a.csv"

    code, shown = run_on_terminal(*AUTHORS, "--output", output, path=[tmp_path])

    assert (code, shown) == (0, 'To see the progress: pip install "django-infra[progress]"\r\n')
    assert output.read_bytes() == make_authors_csv(authors)


def test_exports_are_listed(authors, run):
    run(*AUTHORS)

    code, output, errors = run("exports")

    assert (code, errors) == (0, "")
    assert QueryExport.objects.get().id in output.decode()
