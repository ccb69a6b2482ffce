from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import stat
import tempfile
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.db.models import Value
from django.db.models.functions import Repeat
from django.utils import timezone

from django_infra.exporter.delivery.filesystem import FileSystemDelivery
from django_infra.exporter.exceptions import (
    ExportInterrupted,
    FileAlreadyExists,
    InvalidSetting,
    UnfinishedFileReplaced,
)
from django_infra.exporter.export import export_queryset
from django_infra.exporter.housekeeping.recovery import recover_exports
from django_infra.exporter.models import ExportState, QueryExport
from exporter.faults import races
from exporter.faults import storages as faulty
from exporter.faults.authors import COLUMNS, export_authors, make_authors_csv
from exporter.faults.children import plan_chunks
from exporter.faults.disks import (
    crash_host,
    mount_disk_without_links,
    mount_journaled_disk,
    mount_small_disk,
)
from exporter.faults.marks import commits
from exporter.faults.probes import find_files

pytest_plugins = ["exporter.faults.fixtures"]
pytestmark = commits


def get_mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def get_failure():
    """Check that the only export has failed, and return what it says about it."""
    export = QueryExport.objects.get()
    assert export.state == ExportState.FAIL
    assert not export.file
    return export.error_log


def export_padded(authors, path=None, *, padding=100_000):
    """Export about 5 MB."""
    padded = authors.annotate(padding=Repeat(Value("x"), padding))
    return export_queryset(padded, [*COLUMNS, "padding"], path)


@pytest.fixture
def use_storage(settings):
    """Make the exporter save in a storage of the class, and return that storage."""

    def use(storage_class, **options):
        backend = f"{storage_class.__module__}.{storage_class.__qualname__}"
        settings.STORAGES = {
            **settings.STORAGES,
            "exports": {"BACKEND": backend, "OPTIONS": options},
        }
        settings.EXPORTER_STORAGE = "exports"
        return storages["exports"]

    return use


# ------------------------------------------------------------------- modes and places


@pytest.mark.parametrize("mode", [0o644, 0o640, None])
def test_file_is_private_until_it_has_the_mode_of_the_storage(
    authors, spy, settings, media_root, temp_dir, mode
):
    seen = []

    def look(number):
        (name,) = find_files(temp_dir)
        seen.append((get_mode(temp_dir / name), find_files(media_root)))

    settings.FILE_UPLOAD_PERMISSIONS = mode
    settings.FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o750
    spy(look)
    export_authors("a/b/modes.csv")
    assert set(map(repr, seen)) == {repr((0o600, []))}
    assert get_mode(media_root / "a/b/modes.csv") == (mode or 0o600)
    assert [get_mode(media_root / path) for path in ("a", "a/b")] == [0o750, 0o750]


def test_folders_get_the_default_mode_without_a_setting(authors, media_root):
    umask = os.umask(0o027)
    try:
        export_authors("a/modes.csv")
    finally:
        os.umask(umask)
    assert get_mode(media_root / "a") == 0o750
    assert get_mode(media_root / "a/modes.csv") == 0o644


@pytest.mark.external
def test_unfinished_file_lies_on_the_file_system_of_the_storage(authors, spy, media_root):
    with mount_small_disk(media_root):
        seen = []
        spy(lambda number: seen.extend(find_files(media_root)))
        export = export_authors("near.csv")
        assert set(seen) != set()
        assert set(seen) == {f".{export.id}-1.part"}
        assert find_files(media_root) == ["near.csv"]


def test_file_from_another_file_system_is_copied(authors, settings, elsewhere, media_root):
    settings.EXPORTER_TEMP_DIR = str(elsewhere)
    export = export_authors("copied.csv")
    assert find_files(media_root, elsewhere) == ["copied.csv"]
    content = (media_root / "copied.csv").read_bytes()
    assert content == make_authors_csv(authors)
    assert get_mode(media_root / "copied.csv") == 0o644
    assert export.file_size == len(content)


@pytest.mark.external
def test_file_system_without_hard_links_gets_the_file(authors, tmp_path, media_root):
    with mount_disk_without_links(media_root, tmp_path / "disk"):
        export = export_authors("a/linkless.csv")
        assert export.state == ExportState.SUCCESS
        assert find_files(media_root) == ["a/linkless.csv"]
        assert (media_root / "a/linkless.csv").read_bytes() == make_authors_csv(authors)
        # Its inodes do not last.
        assert export.file_facts == {"size": export.file_size}
        export.delete()
        assert find_files(media_root) == []


@pytest.mark.external
@pytest.mark.parametrize("way", ["near", "far", "linkless", "own"])
@pytest.mark.parametrize("is_synced", [True, False])
def test_file_of_a_success_outlives_a_crash_of_the_host(
    authors, settings, monkeypatch, media_root, tmp_path, elsewhere, use_storage, way, is_synced
):
    del settings.EXPORTER_TEMP_DIR
    settings.FILE_UPLOAD_PERMISSIONS = 0o640
    settings.EXPORTER_FSYNC = is_synced
    if way == "far":
        settings.EXPORTER_TEMP_DIR = str(elsewhere)
    elif way == "linkless":
        refusal = OSError(errno.EPERM, "No links here")
        monkeypatch.setattr(os, "link", mock.Mock(side_effect=refusal))
    elif way == "own":
        use_storage(faulty.DjangosOwnStorage)
    image = tmp_path / "disk"
    with mount_journaled_disk(media_root, image):
        export = export_padded(authors, "a/b/c.csv", padding=30_000)
        assert export.state == ExportState.SUCCESS
        with crash_host(image, tmp_path / "after") as disk:
            left = disk / "a/b/c.csv"
            content = left.read_bytes() if left.exists() else b""
            is_whole = hashlib.sha256(content).hexdigest() == export.checksum
            assert is_whole == is_synced
            assert not is_synced or get_mode(left) == 0o640
            assert not is_synced or find_files(disk) == ["a/b/c.csv"]


@pytest.mark.parametrize("way", ["near", "own"])
def test_file_and_each_folder_with_a_new_name_are_synced_before_the_success(
    authors, settings, monkeypatch, media_root, use_storage, way
):
    """Some file systems write no more than what they are asked for."""
    del settings.EXPORTER_TEMP_DIR
    if way == "own":
        use_storage(faulty.DjangosOwnStorage)
    synced, late = [], []
    real = os.fsync

    def sync(descriptor):
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        (late if QueryExport.objects.succeeded().exists() else synced).append(target)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    export_authors("a/b/c.csv")
    assert late == []
    assert {media_root, media_root / "a", media_root / "a/b"} <= set(synced)
    if way == "near":
        # The data before the name; and the mode when the name it was opened by is gone.
        before, after = [path.name for path in synced if ".part" in path.name]
        assert (before.endswith(".part"), after.endswith(".part (deleted)")) == (True, True)
        assert media_root.parent in synced
    else:
        assert media_root / "a/b/c.csv" in synced
    assert synced[-1] == (media_root if way == "own" else media_root / "a/b")


def test_storage_that_saves_in_its_own_way_is_asked_to(authors, use_storage, media_root, remains):
    storage = use_storage(faulty.InvertingStorage)
    export = export_authors("inverted.csv")
    expected = make_authors_csv(authors)
    assert export.file.read() == expected
    assert (media_root / "inverted.csv").read_bytes() == faulty.invert(expected)
    assert export.file_size == storage.size("inverted.csv")
    assert remains() == ["inverted.csv"]


# ------------------------------------------------------------------ other users' eyes


@pytest.fixture
def open_root(settings):
    """A storage folder that other users may look into; those of pytest are closed to them."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        settings.MEDIA_ROOT = str(root / "media")
        settings.FILE_UPLOAD_PERMISSIONS = 0o644
        (root / "media").mkdir(mode=0o755)
        yield root


@pytest.mark.parametrize("place", ["storage", "shared", "far", "own"])
@pytest.mark.parametrize("end", ["success", "kill"])
def test_no_other_user_reads_an_unfinished_file(
    authors, child, settings, open_root, request, use_storage, place, end
):
    folder = open_root / "media"
    # The files that are saved are for all, and their folder is not.
    settings.FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
    if place == "far":
        folder = request.getfixturevalue("elsewhere")
    elif place != "storage":
        folder = open_root / "unfinished"
        folder.mkdir()
    if place != "storage":
        folder.chmod(0o1777)
        settings.EXPORTER_TEMP_DIR = str(folder)
    if place == "own":
        use_storage(faulty.DjangosOwnStorage)
    watcher = child()
    watcher.begin("watch_as_nobody", folders=[str(folder)])
    assert watcher.finish() == "ready"
    worker = child(**plan_chunks("wait_at_third_chunk"))
    worker.begin("export_authors", path="closed/a.csv")
    assert worker.finish() == "at the third chunk"
    assert watcher.finish() == "seen"
    worker.proceed()
    assert worker.finish()["state"] == ExportState.SUCCESS
    if end == "kill":
        worker = child()
        worker.call("signal_before_success", number=signal.SIGKILL)
        worker.begin("export_authors", path="closed/b.csv")
        assert worker.wait() == -signal.SIGKILL
        worker = child(**plan_chunks("kill_at_third_chunk"))
        worker.begin("export_authors", path="closed/c.csv")
        assert worker.wait() == -signal.SIGKILL
    else:
        for number in range(20):
            export_authors(f"closed/{number}.csv")
    watcher.proceed()
    outcome = watcher.finish()
    assert outcome["read"] == []
    assert outcome["seen"] >= 1
    assert get_mode(open_root / "media/closed/a.csv") == 0o644


@pytest.mark.external
@pytest.mark.parametrize("step", ["rename", "link"])
def test_what_a_killed_export_leaves_before_its_file_is_saved_is_private(
    authors, child, settings, media_root, temp_dir, step
):
    worker = child()
    worker.call("kill_after", step=step)
    worker.begin("export_authors", path="killed.csv")
    assert worker.wait() == -signal.SIGKILL
    assert find_files(temp_dir) == []
    left = find_files(media_root)
    assert len(left) == {"rename": 1, "link": 2}[step]
    assert {get_mode(media_root / name) for name in left} == {0o600}
    QueryExport.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    recover_exports()
    assert find_files(media_root) == []


@pytest.mark.parametrize("kind", ["file", "symbolic link", "hard link"])
@pytest.mark.parametrize("is_far", [False, True])
def test_unfinished_file_that_somebody_tampers_with_is_refused(
    authors, spy, media_root, temp_dir, tmp_path, settings, request, kind, is_far
):
    if is_far:
        temp_dir = request.getfixturevalue("elsewhere")
        settings.EXPORTER_TEMP_DIR = str(temp_dir)
    theirs = temp_dir / "theirs"
    theirs.write_text("theirs")
    theirs.chmod(0o600)

    def tamper(number):
        (path,) = temp_dir.glob("*.part")
        if kind == "hard link":
            if number == 2:
                (temp_dir / "second").hardlink_to(path)
        elif number == 2:
            path.unlink()
            path.symlink_to(theirs) if kind == "symbolic link" else path.write_text("theirs")

    spy(tamper)
    if is_far:
        # What is copied is the open file, whatever its name stands for.
        assert export_authors("mine.csv").state == ExportState.SUCCESS
        assert (media_root / "mine.csv").read_bytes() == make_authors_csv(authors)
        assert get_mode(media_root / "mine.csv") == 0o644
    else:
        with pytest.raises(UnfinishedFileReplaced, match="replaced or linked"):
            export_authors("mine.csv")
        assert "UnfinishedFileReplaced" in get_failure()
        assert find_files(media_root) == []
    assert theirs.read_text() == "theirs"
    assert get_mode(theirs) == 0o600
    if kind == "hard link":
        assert get_mode(temp_dir / "second") == 0o600


@pytest.mark.parametrize("kind", ["file", "symbolic link"])
def test_another_storage_gets_the_open_file_and_none_that_somebody_puts_there(
    authors, spy, use_storage, temp_dir, tmp_path, kind
):
    storage = use_storage(InMemoryStorage)
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")

    def replace(number):
        if number == 2:
            (path,) = temp_dir.iterdir()
            path.unlink()
            path.symlink_to(theirs) if kind == "symbolic link" else path.write_text("theirs")

    spy(replace)
    export_authors("mine.csv")
    assert storage.open("mine.csv").read() == make_authors_csv(authors)


def test_root_that_is_closed_leaves_the_folder_of_the_target(child, open_root):
    root = open_root / "media"
    (root / "exports").mkdir()
    (root / "exports").chmod(0o777)
    assert child().call("deliver_as_nobody", name="exports/deep/a.csv") == [["exports"], []]
    assert find_files(root / "exports") == ["deep/a.csv"]
    assert (root / "exports/deep/a.csv").read_bytes() == b"mine"


# ------------------------------------------------------------------- what is there already


@pytest.mark.parametrize("kind", ["file", "folder", "dead link"])
def test_existing_path_is_refused_before_any_work(authors, media_root, kind):
    path = media_root / "taken.csv"
    media_root.mkdir()
    if kind == "file":
        path.write_text("theirs")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(FileAlreadyExists, match=r"File already exists.*taken\.csv"):
        export_authors("taken.csv")
    assert QueryExport.objects.count() == 0
    assert os.path.lexists(path)
    assert kind != "file" or path.read_text() == "theirs"


@pytest.mark.external
@pytest.mark.parametrize(
    "storage_class", [None, faulty.DjangosOwnStorage, InMemoryStorage, "elsewhere", "linkless"]
)
def test_file_that_a_stranger_puts_there_meanwhile_is_spared(
    authors, spy, use_storage, settings, request, tmp_path, media_root, temp_dir, storage_class
):
    if storage_class == "elsewhere":
        settings.EXPORTER_TEMP_DIR = str(request.getfixturevalue("elsewhere"))
    elif storage_class == "linkless":
        mounted = mount_disk_without_links(media_root, tmp_path / "disk")
        mounted.__enter__()
        request.addfinalizer(lambda: mounted.__exit__(None, None, None))
    elif storage_class:
        use_storage(storage_class)
    storage = storages["exports" if isinstance(storage_class, type) else "default"]

    def arrive(number):
        if number == 2:
            storage.save("contested.csv", ContentFile(b"theirs"))

    spy(arrive)
    with pytest.raises(FileAlreadyExists):
        export_authors("contested.csv")
    assert "FileAlreadyExists" in get_failure()
    with storage.open("contested.csv") as file:
        assert file.read() == b"theirs"
    assert find_files(temp_dir) == []
    assert storage_class is InMemoryStorage or find_files(media_root) == ["contested.csv"]


@pytest.mark.parametrize("call", ["rename", "link", "replace"])
def test_answer_of_a_share_that_says_no_to_what_it_has_done_is_seen_through(
    authors, monkeypatch, media_root, temp_dir, call
):
    """NFS sends what was not answered once more, and is told that it was done before."""
    real = getattr(os, call)
    denials = {
        "rename": FileNotFoundError(errno.ENOENT, "No such file"),
        "link": FileExistsError(errno.EEXIST, "File exists"),
        "replace": FileNotFoundError(errno.ENOENT, "No such file"),
    }

    def act_and_deny(*args, **kwargs):
        real(*args, **kwargs)
        raise denials[call]

    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "No links here")

    if call == "replace":
        monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, call, act_and_deny)
    export = export_authors("a/mine.csv")
    assert export.state == ExportState.SUCCESS
    assert find_files(media_root, temp_dir) == ["a/mine.csv"]
    assert (media_root / "a/mine.csv").read_bytes() == make_authors_csv(authors)


@pytest.mark.parametrize("path", [None, "a/mine.csv"])
def test_name_that_cannot_be_removed_does_not_fail_an_export(
    authors, monkeypatch, media_root, caplog, path
):
    real = os.unlink

    def fail(target, *args, **kwargs):
        if str(target).endswith(".part"):
            raise OSError(errno.EIO, "Input/output error")
        real(target, *args, **kwargs)

    monkeypatch.setattr(os, "unlink", fail)
    export = export_authors(path)
    assert export.state == ExportState.SUCCESS
    export.refresh_from_db()
    assert export.state == ExportState.SUCCESS
    assert (media_root / export.file.name).read_bytes() == make_authors_csv(authors)
    assert "Could not remove the unfinished file" in caplog.text


@pytest.mark.parametrize("moment", ["check_name", "deliver"])
@pytest.mark.parametrize("path", [None, "a/mine.csv"])
def test_worker_whose_unfinished_file_a_recovery_has_taken_is_interrupted(
    authors, monkeypatch, remains, moment, path
):
    """It has stalled where nothing tells it that it is not wanted any more."""
    real = getattr(FileSystemDelivery, moment)

    def wake_up_late(delivery):
        QueryExport.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
        assert recover_exports().failed == 1
        return real(delivery)

    monkeypatch.setattr(FileSystemDelivery, moment, wake_up_late)
    with pytest.raises(ExportInterrupted, match=r"recovery|ended by somebody else"):
        export_authors(path)
    assert "Worker lost" in get_failure()
    assert remains() == []


# ------------------------------------------------------------------------------- races


def test_of_two_processes_that_race_for_a_path_one_wins(authors, child, media_root, temp_dir):
    races.split(authors)
    rounds = 40
    racers = [child(), child()]
    for racer, name in zip(racers, races.NAMES, strict=True):
        racer.begin("race", path_format="{}.csv", rounds=rounds, name=name)
    for number in range(rounds):
        assert [racer.finish() for racer in racers] == [number, number]
        for racer in racers:
            racer.proceed()
    pairs = list(zip(*(racer.finish() for racer in racers), strict=True))
    races.assert_one_winner_each(pairs, lambda number: (media_root / f"{number}.csv").read_text())
    assert len(find_files(media_root)) == rounds
    assert find_files(temp_dir) == []


def test_of_two_threads_that_race_for_an_object_one_wins(authors, use_storage, temp_dir):
    storage = use_storage(InMemoryStorage)
    pairs = races.race(authors, rounds=15)
    races.assert_one_winner_each(pairs, lambda number: storage.open(f"{number}.csv", "r").read())
    assert find_files(temp_dir) == []


# ------------------------------------------------------------------------- things go wrong


@pytest.mark.external
def test_full_disk_of_unfinished_files_fails_the_export(authors, settings, media_root, tmp_path):
    with mount_small_disk(tmp_path / "small") as disk:
        settings.EXPORTER_TEMP_DIR = str(disk)
        with pytest.raises(OSError, match="No space left") as caught:
            export_padded(authors)
        assert caught.value.errno == errno.ENOSPC
        assert find_files(disk, media_root) == []
    assert "No space left" in get_failure()
    place = f"{str(disk)!r}, the folder of unfinished files that EXPORTER_TEMP_DIR names"
    assert f"No room is left in {place}." in get_failure()


@pytest.mark.external
def test_disk_that_is_full_at_the_last_byte_fails_the_export(
    authors, settings, media_root, tmp_path
):
    with mount_small_disk(tmp_path / "small") as disk:
        settings.EXPORTER_TEMP_DIR = str(disk)
        with (disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(disk).free)
        with pytest.raises(OSError, match="No space left"):
            export_authors()  # a few hundred bytes, which a buffer keeps until the file is closed
        assert find_files(disk, media_root) == ["ballast"]
    assert "No space left" in get_failure()
    assert get_failure().count("No room is left") == 1


@pytest.mark.external
@pytest.mark.parametrize("is_own", [False, True])
@pytest.mark.parametrize("is_near", [False, True])
def test_full_disk_of_the_storage_fails_the_export(
    authors, use_storage, settings, media_root, temp_dir, is_own, is_near
):
    if is_own:
        use_storage(faulty.DjangosOwnStorage)
    if is_near:
        del settings.EXPORTER_TEMP_DIR
    with mount_small_disk(media_root):
        with pytest.raises(OSError, match="No space left"):
            export_padded(authors, "deep/large.csv")
        assert find_files(media_root, temp_dir) == []
        assert export_authors("small.csv").state == ExportState.SUCCESS
        assert find_files(media_root, temp_dir) == ["small.csv"]
    failed = QueryExport.objects.get(state=ExportState.FAIL)
    assert "No space left" in failed.error_log
    if is_near and not is_own:
        reason = "where unfinished files are made unless EXPORTER_TEMP_DIR names a folder"
    else:
        reason = f"the folder of the storage {failed.storage_alias!r} of STORAGES"
    assert f"No room is left in {str(media_root)!r}, {reason}." in failed.error_log
    assert not failed.file


@pytest.mark.parametrize("path", ["closed/a.csv", "closed/deep/below/a.csv"])
def test_read_only_storage_is_refused_before_anything_is_read(
    authors, child, settings, temp_dir, path
):
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    with tempfile.TemporaryDirectory() as root:  # pytest's folders are closed to others
        settings.MEDIA_ROOT = settings.EXPORTER_TEMP_DIR = root
        os.chmod(root, 0o777)
        closed = Path(root, "closed")
        closed.mkdir(mode=0o500)
        outcome = child().call("export_as_nobody", path=path)
        assert outcome["error"] == "PermissionError"
        assert outcome["queries"] == []
        assert find_files(root) == ["warm.csv"]
        assert closed.stat().st_nlink == 2
    failed = QueryExport.objects.failed().get()
    assert "PermissionError" in failed.error_log


def test_file_saved_under_another_name_is_deleted(authors, use_storage, temp_dir):
    storage = use_storage(faulty.RenamingStorage)
    with pytest.raises(FileAlreadyExists):
        export_authors("asked.csv")
    assert "FileAlreadyExists" in get_failure()
    assert storage.listdir("") == ([], [])
    assert find_files(temp_dir) == []


def test_half_saved_file_is_deleted(authors, use_storage, temp_dir):
    storage = use_storage(faulty.BreakingStorage)
    with pytest.raises(ConnectionError, match="went dead"):
        export_authors("half.csv")
    assert "ConnectionError: The line went dead." in get_failure()
    assert storage.listdir("") == ([], [])
    assert find_files(temp_dir) == []


def test_file_that_cannot_be_deleted_is_logged(authors, use_storage, temp_dir, caplog):
    use_storage(faulty.StickyStorage)
    with pytest.raises(ConnectionError, match="went dead"):
        export_authors("half.csv")
    assert "ConnectionError: The line went dead." in get_failure()
    assert "Could not delete 'half.csv'" in caplog.text
    assert find_files(temp_dir) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXPORTER_TEMP_DIR", "/nonexistent"),
        ("EXPORTER_CHUNK_SIZE", "many"),
        ("EXPORTER_PATH_PREFIX", "/absolute/"),
        ("EXPORTER_STORAGE", "nowhere"),
        ("EXPORTER_ESCAPE_FORMULAS", "yes"),
        ("EXPORTER_FSYNC", "no"),
        ("EXPORTER_LEASE", "long"),
        ("EXPORTER_MAX_ATTEMPTS", "often"),
        ("EXPORTER_MAX_ROWS", "few"),
    ],
)
def test_setting_that_cannot_be_used_is_told_before_the_row(authors, settings, name, value):
    setattr(settings, name, value)
    with pytest.raises(InvalidSetting, match=f"{name} (is )?{value!r}"):
        export_authors()
    assert not QueryExport.objects.exists()


def test_file_in_the_place_of_a_folder_fails_the_export(authors, media_root, remains):
    media_root.mkdir()
    (media_root / "folder").write_text("a file")
    with pytest.raises(NotADirectoryError):
        export_authors("folder/below/a.csv")
    assert "NotADirectoryError" in get_failure()
    assert remains() == ["folder"]
