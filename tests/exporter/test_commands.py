from __future__ import annotations

import datetime
import io
import json
import os

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from django_infra.db.functions import DatabaseTime
from django_infra.exporter.delivery import Delivery
from django_infra.exporter.exceptions import StreamDiverged
from django_infra.exporter.jobs.untracked import Outlet
from django_infra.exporter.models import ExportState, QueryExport
from django_infra.exporter.sources import UnknownForm
from exporter.conftest import write_expected
from exporter.faults.authors import COLUMNS, make_authors, make_authors_csv, make_csv
from exporter.faults.marks import needs_psycopg3
from exporter.faults.probes import find_files
from testapp.models import Author, Book, Everything, Publisher

pytest_plugins = ["exporter.faults.fixtures"]

AUTHORS = ["testapp.Author", "--values", *COLUMNS, "--order-by", "id"]


def export(*arguments, **options):
    """Run the command here, and return what it says."""
    said = io.StringIO()
    call_command("export_queryset", *map(str, arguments), stdout=said, **options)
    return said.getvalue()


def stream(*arguments):
    """Run the command here, and return the bytes of its standard output."""
    output = io.BytesIO()
    stream_into(output, *arguments)
    return output.getvalue()


def stream_into(output, *arguments):
    text = io.TextIOWrapper(output)
    try:
        call_command("export_queryset", *arguments, "--output", "-", stdout=text)
    finally:
        text.detach()


# ------------------------------------------------------------------------- mistakes


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "registered as 'nothing'.* 'authors', 'own-books'.* 'app_label.Model'"),
        (["testapp.Nothing"], "registered as 'testapp.Nothing'.*doesn't have a 'Nothing' model"),
        (["a.b.c"], "registered as 'a.b.c'"),
        (["testapp.Author"], "--values is missing.* testapp.Author"),
        ([*AUTHORS, "--values", "nome"], "Cannot export 'nome' from testapp.Author"),
        ([*AUTHORS, "--values", "id"], "several columns the header 'id'"),
        ([*AUTHORS, "--filter", "nome=x"], "Cannot resolve keyword 'nome'"),
        ([*AUTHORS, "--filter", "id=x"], "Cannot read 'x' of --filter id: .* an integer"),
        ([*AUTHORS, "--filter", "id__in=1,x"], "Cannot read '1,x' .* “x” value must be an integer"),
        ([*AUTHORS, "--filter", "born=x"], "“x” value has an invalid date format"),
        ([*AUTHORS, "--filter", "name__such=x"], "Unsupported lookup 'such'"),
        ([*AUTHORS, "--filter", "name"], "'name' must have the form key=value"),
        ([*AUTHORS, "--filter", "=x"], "'=x' must have the form key=value"),
        ([*AUTHORS, "--filter", "born__isnull=never"], "it must be one of 'true', 'yes'"),
        ([*AUTHORS, "--filter", "id__range=1"], "id__range: a range has two values"),
        ([*AUTHORS, "--order-by", "nome"], "Cannot resolve keyword 'nome'"),
        ([*AUTHORS, "--database", "nowhere"], "invalid choice: 'nowhere'"),
        ([*AUTHORS, "--manager", "living"], "not a manager of testapp.Author. Allowed: 'objects'"),
        ([*AUTHORS, "--param", "a=b", "--user", "me"], "is a model.* take --param, --user"),
        ([*AUTHORS, "--format", "odt"], "Unsupported format 'odt'"),
        ([*AUTHORS, "--format", "odt", "--output", "-"], "Unsupported format 'odt'"),
        ([*AUTHORS, "--path", "../a.csv"], "Invalid file_path '../a.csv'"),
        ([*AUTHORS, "--path", "a.csv", "--output", "a.csv"], "not allowed with argument --path"),
        ([*AUTHORS, "--output", "a"], "extension missing in file_path 'a'"),
        ([*AUTHORS, "--output", "no-folder/a.csv"], "No such file or directory: .*/no-folder'"),
        ([*AUTHORS, "--output", "-"], "needs a standard output that takes bytes"),
        ([*AUTHORS, "--output", "-", "--force"], "--force overwrites a file"),
        ([*AUTHORS, "--force"], "--force overwrites a file"),
        (["authors", "--values", "id", "--filter", "id=1"], "not take --values, --filter"),
        (["authors", "--order-by", "id"], "'authors' is a named export.* take --order-by"),
        (["authors", "--database", "other"], "not take --database"),
        (["authors", "--manager", "objects"], "not take --manager"),
        (["authors", "--no-escape-formulas"], "not take --no-escape-formulas"),
        (["authors", "--param", "size=3"], "Unknown params for 'authors': 'size'"),
        (["authors", "--param", "padding=x", "--output", "-"], "Invalid params for 'authors'"),
        (["authors", "--user", "nobody"], "There is no user 'nobody'"),
        (["authors", "--user", "reader"], "'reader' may not run the export 'authors'"),
        (["authors", "--user", "reader", "--output", "a.csv"], "may not run the export"),
        (["own-books", "--format", "tsv"], "Unsupported format 'tsv'"),
    ],
)
def test_mistakes_are_told_and_nothing_is_made(
    arguments, message, django_user_model, media_root, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    django_user_model.objects.create_user("reader")

    with pytest.raises(CommandError, match=f"(?s){message}"):
        export(*arguments)

    assert find_files(tmp_path) == []
    assert not QueryExport.objects.exists()


# ----------------------------------------------------------------------- the storage


@pytest.mark.django_db
def test_a_model_goes_to_the_storage_with_a_row(media_root):
    authors = make_authors(3)

    said = export(*AUTHORS, "--path", "lists/authors.csv")

    assert said == "lists/authors.csv\n"
    assert (media_root / said.strip()).read_bytes() == make_authors_csv(authors)
    row = QueryExport.objects.get()
    assert (row.state, row.row_count, row.model_label) == ("success", 3, "testapp.Author")


@pytest.mark.django_db
def test_what_is_said_depends_on_the_verbosity():
    make_authors(3)

    export(*AUTHORS, verbosity=0)
    row = QueryExport.objects.get()
    assert export(*AUTHORS, verbosity=0) == ""
    row = QueryExport.objects.first()
    assert (
        export(*AUTHORS, "--format", "csv", verbosity=2)
        .splitlines()[0]
        .endswith(f": 3 rows, {row.file_size} bytes")
    )


@pytest.mark.django_db
def test_a_named_export_runs_here_whatever_the_runner_is(media_root, django_user_model, settings):
    settings.EXPORTER_RUNNER = {"BACKEND": "testapp.runners.BoxRunner"}
    user = django_user_model.objects.create_user("reader")
    user.user_permissions.add(Permission.objects.get(codename="view_author"))
    publishers = Publisher.objects.bulk_create(Publisher(name=name) for name in "abc")
    authors = [Author.objects.create(name="=A", publisher=each) for each in publishers]
    publishers = Publisher.objects.order_by("pk")

    params = [f"publishers={publisher.pk}" for publisher in publishers[:2]]
    said = export(
        "authors",
        "--user",
        "reader",
        "--param",
        params[0],
        "--param",
        params[1],
        "--param",
        "name=",
    )

    expected = [(author.pk, "'=A", "") for author in authors[:2]]
    headers = ["No.", "Name", "Padding"]
    assert (media_root / said.strip()).read_bytes() == write_expected(headers, expected)
    row = QueryExport.objects.get()
    assert (row.name, row.created_by, row.state) == ("authors", user, "success")
    assert row.params["publishers"] == [str(publisher.pk) for publisher in publishers[:2]]


@pytest.mark.django_db
def test_a_failure_is_told_as_the_row_has_it(spy):
    make_authors(3)

    def fail(number):
        raise ValueError("The chunk is bad.")

    spy(fail)
    for arguments in (AUTHORS, ["authors"]):
        with pytest.raises(CommandError) as caught:
            export(*arguments)
        row = QueryExport.objects.first()
        assert row.state == ExportState.FAIL
        assert str(caught.value) == row.error_log == "ValueError: The chunk is bad."


@pytest.mark.django_db
def test_a_named_export_that_is_interrupted_before_it_begins_is_not_left_to_a_worker():
    interrupts = [KeyboardInterrupt]

    def interrupt_claim(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and interrupts:
            raise interrupts.pop()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(interrupt_claim), pytest.raises(KeyboardInterrupt):
        export("authors")

    assert QueryExport.objects.get().state == ExportState.FAIL


# ---------------------------------------------------------------------- what is asked


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--filter", "title=Book 1", "--filter", "pages__gte=20"], {"title": "Book 1"}),
        (["--filter", "pages__in=0,10"], {"pages__in": [0, 10]}),
        (["--filter", "pages__range=10,30"], {"pages__range": (10, 30)}),
        (["--filter", "price__isnull=true"], {"price__isnull": True}),
        (["--filter", "price__isnull=False"], {"price__isnull": False}),
        (["--filter", "author__name__contains=,"], {"author__name__contains": ","}),
        (["--filter", "title=a=b"], {"title": "a=b"}),
        (
            ["--filter", "published_at__gte=2020-06-01 12:00"],
            {"published_at__gte": datetime.datetime(2020, 6, 1, 12, tzinfo=datetime.UTC)},
        ),
    ],
)
def test_filters(library, arguments, expected):
    Book.objects.create(title="a=b", author=library[0].author)
    books = Book.objects.filter(**expected).order_by("-pages", "id")
    if len(arguments) > 2:
        books = books.filter(pages__gte=20)

    output = stream(
        "testapp.book", "--values", "id,title", "author__name", *arguments, "--order-by=-pages,id"
    )

    columns = ["id", "title", "author__name"]
    assert output == write_expected(columns, books.values_list(*columns))
    assert 0 < books.count() < Book.objects.count()


@pytest.mark.django_db
def test_formulas_are_left_alone_on_request():
    Publisher.objects.create(name="=1+1")
    arguments = ["testapp.publisher", "--values", "name"]

    assert stream(*arguments) == b"name\r\n'=1+1\r\n"
    assert stream(*arguments, "--no-escape-formulas") == b"name\r\n=1+1\r\n"


@pytest.mark.django_db(databases=["default", "other"])
def test_another_database():
    authors = make_authors(2, using="other")

    assert stream(*AUTHORS, "--database", "other") == make_authors_csv(authors)
    assert stream(*AUTHORS) == make_csv([])


@pytest.mark.django_db(databases=["default", "other"])
def test_routers_choose_the_database_unless_it_is_named(settings):
    authors = make_authors(2, using="other")
    settings.DATABASE_ROUTERS = ["testapp.routers.ReplicaRouter"]

    assert stream(*AUTHORS) == make_authors_csv(authors)
    assert stream(*AUTHORS, "--database", "default") == make_csv([])


@pytest.mark.django_db
def test_another_manager(library):
    arguments = ["testapp.Book", "--values", "id", "--order-by", "id"]

    assert stream(*arguments, "--manager", "objects") == stream(*arguments)
    cheap = stream(*arguments, "--manager", "long")
    assert cheap == write_expected(["id"], Book.long.order_by("id").values_list("id"))
    assert cheap != stream(*arguments)


# ------------------------------------------------------------------------ local files


@pytest.mark.django_db
def test_a_local_file_has_no_row_and_is_not_in_the_storage(tmp_path, media_root):
    authors = make_authors(30)
    path = tmp_path / "authors.csv"
    mask = os.umask(0o027)
    try:
        assert export(*AUTHORS, "--output", path) == ""
        assert export("authors", "--output", tmp_path / "b.CSV", verbosity=2) == "30 rows\n"
    finally:
        os.umask(mask)

    assert path.read_bytes() == make_authors_csv(authors)
    assert path.stat().st_mode & 0o777 == 0o640
    assert not QueryExport.objects.exists()
    assert find_files(tmp_path) == ["authors.csv", "b.CSV"]


@pytest.mark.django_db
def test_a_local_file_takes_no_time_for_a_checksum(tmp_path, monkeypatch):
    monkeypatch.delattr(Delivery, "compute_checksum")
    make_authors(1)
    export(*AUTHORS, "--output", tmp_path / "authors.csv")
    assert find_files(tmp_path) == ["authors.csv"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["replaced", "linked"])
@pytest.mark.parametrize("options", [[], ["--force"]])
def test_a_local_file_that_somebody_tampers_with_is_refused(tmp_path, spy, kind, options):
    def tamper(number):
        if number == 2:
            (path,) = tmp_path.glob(".export-*")
            assert path.stat().st_mode & 0o777 == 0o600
            if kind == "linked":
                (tmp_path / "theirs").hardlink_to(path)
            else:
                path.unlink()
                path.write_text("theirs")

    spy(tamper)
    make_authors(30)
    with pytest.raises(CommandError, match="replaced or linked the unfinished file"):
        export(*AUTHORS, "--output", tmp_path / "authors.csv", *options)
    assert find_files(tmp_path) == (["theirs"] if kind == "linked" else [])


@pytest.mark.django_db
def test_a_local_file_is_overwritten_by_force_alone(tmp_path, spy):
    chunks = []
    spy(chunks.append)
    authors = make_authors(3)
    path, link = tmp_path / "old.csv", tmp_path / "link.csv"
    path.write_text("old")
    link.symlink_to(path)

    with pytest.raises(CommandError, match=r"exists: '.*old.csv'\. --force overwrites a file"):
        export(*AUTHORS, "--output", link)
    assert path.read_text() == "old"
    assert chunks == []

    export(*AUTHORS, "--output", link, "--force")
    assert link.is_symlink()
    assert path.read_bytes() == make_authors_csv(authors)
    assert find_files(tmp_path) == ["link.csv", "old.csv"]


@pytest.mark.django_db
def test_what_is_no_regular_file_is_never_replaced(tmp_path):
    """Such as a device, which the superuser could."""
    os.mkfifo(tmp_path / "pipe.csv")

    with pytest.raises(CommandError, match=r"pipe\.csv' is there, and no regular file"):
        export(*AUTHORS, "--output", tmp_path / "pipe.csv", "--force")

    assert (tmp_path / "pipe.csv").is_fifo()
    assert find_files(tmp_path) == ["pipe.csv"]


@pytest.mark.django_db
def test_a_local_file_that_somebody_makes_meanwhile_is_left_alone(tmp_path, spy):
    make_authors(3)
    path = tmp_path / "a.csv"
    spy(lambda number: path.write_text("theirs"))

    with pytest.raises(CommandError, match="--force overwrites a file"):
        export(*AUTHORS, "--output", path)

    assert path.read_text() == "theirs"
    assert find_files(tmp_path) == ["a.csv"]


@pytest.mark.django_db
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "force"])
def test_a_local_file_that_fails_leaves_nothing(tmp_path, settings, force):
    make_authors(30)
    path = tmp_path / "a.csv"
    if force:
        path.write_text("old")
    settings.EXPORTER_MAX_ROWS = 20

    with pytest.raises(CommandError, match=r"^Too many rows: an export may have 20\.$"):
        export(*AUTHORS, "--output", path, *force)

    assert find_files(tmp_path) == (["a.csv"] if force else [])
    assert not force or path.read_text() == "old"


# ---------------------------------------------------------------------------- a pipe


class Shown(io.BytesIO):
    """An unbuffered stream, which takes a part of what it is given."""

    def write(self, data):
        return super().write(data[:7])


def write_all(outlet, *pieces):
    for piece in pieces:
        assert outlet.write(piece) == len(piece)


def test_an_outlet_passes_on_once_what_comes_twice():
    shown = Shown()
    outlet = Outlet(shown)

    write_all(outlet, b"0123456789", b"abc")
    outlet.restart()
    assert outlet.tell() == 0
    write_all(outlet, b"01234")
    outlet.restart()  # before it is where it was
    write_all(outlet, b"012345678", memoryview(b"9abcdef"), b"ghi")
    outlet.finish()

    assert shown.getvalue() == b"0123456789abcdefghi"
    assert outlet.tell() == len(shown.getvalue())


@pytest.mark.parametrize("second", [b"01234567x9", b"01234567x9abc", b"012345678"])
def test_an_outlet_refuses_what_comes_otherwise(second):
    shown = io.BytesIO()
    outlet = Outlet(shown)
    write_all(outlet, b"0123456789")
    outlet.restart()

    def write_and_finish():
        write_all(outlet, second)
        outlet.finish()

    with pytest.raises(StreamDiverged, match="10 bytes that have left already"):
        write_and_finish()

    assert shown.getvalue() == b"0123456789"


def make_odd(row, text):
    """Make rows of which a late one has a date that the database's own way does not know."""
    Everything.objects.bulk_create(
        Everything(integer=number, date="2020-01-01") for number in range(row + 20)
    )
    quote = connection.ops.quote_name
    sql = f"UPDATE testapp_everything SET {quote('date')} = %s WHERE {quote('integer')} = %s"
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET sql_mode = ''")
        cursor.execute(sql, [text, row])
        if connection.vendor == "mysql":
            cursor.execute("SET sql_mode = DEFAULT")
    return Everything.objects.order_by("id")


ODD_DATES = {"sqlite": "20200229", "mysql": "0000-00-00", "postgresql": "infinity"}
DATES = ["testapp.everything", "--values", "integer,date"]


@pytest.mark.only_on("sqlite", "mysql")  # Python knows none of PostgreSQL's odd dates either
@pytest.mark.django_db
def test_a_stream_that_begins_again_is_seamless(spy):
    chunks = []
    spy(chunks.append)
    rows = make_odd(40, ODD_DATES[connection.vendor])

    output = stream(*DATES, "--order-by", "id")

    assert output == write_expected(["integer", "date"], rows.values_list("integer", "date"))
    assert len(output.splitlines()) == 61
    # Four chunks that went out, the one with the date perhaps, and all of them again.
    assert len(chunks) >= 4 + 7


@needs_psycopg3
@pytest.mark.django_db
def test_a_stream_that_begins_again_and_fails_ends_where_it_was():
    make_odd(40, "infinity")
    output = io.BytesIO()

    with pytest.raises(CommandError, match=r"infinity(.|\n)*Row 41, column 'date'"):
        stream_into(output, *DATES, "--order-by=id")

    lines = output.getvalue().decode().splitlines()
    assert lines == ["integer,date", *(f"{n},2020-01-01" for n in range(len(lines) - 1))]
    assert 1 < len(lines) <= 41


@pytest.fixture
def restart(settings):
    """Have an export begin again before its fourth chunk, on any database."""

    def on_chunk(number):
        if number == 4:
            raise UnknownForm

    settings.EXPORTER_CHUNK_SIZE = 10
    settings.EXPORTER_FORMATS = {
        "csv": {
            "BACKEND": "exporter.faults.writers.SpiedCSVWriter",
            "OPTIONS": {"on_chunk": on_chunk},
        }
    }


@pytest.mark.django_db
def test_a_stream_begins_again_on_any_database(restart):
    authors = make_authors(100)

    assert stream(*AUTHORS) == make_authors_csv(authors)


@pytest.mark.django_db
def test_a_stream_that_comes_otherwise_the_second_time_is_an_error(restart):
    make_authors(100)
    output = io.BytesIO()

    with pytest.raises(CommandError, match=r"came out otherwise than the \d+ bytes"):
        stream_into(output, *AUTHORS[:-1], "?")

    assert len(output.getvalue().splitlines()) == 1 + 21


# ------------------------------------------------------------------------ the listing


def list_exports(*arguments):
    said = io.StringIO()
    call_command("exports", *arguments, stdout=said)
    return said.getvalue()


def read_json(*arguments):
    return json.loads(list_exports("--json", *arguments))


def make_export(state=ExportState.SUCCESS, *, minutes=0, **fields):
    """Make the row of an export that began so many minutes ago."""
    schedule = {"model": Author, "format": "csv", "storage_alias": "default"}
    row = QueryExport.objects.schedule(**schedule | fields)
    if state != ExportState.SCHEDULED:
        row.claim("token")
    if state == ExportState.SUCCESS:
        row.succeed(row_count=12345, file_size=2, job_time=datetime.timedelta(seconds=10))
    if state == ExportState.FAIL:
        row.fail(ValueError("no"), job_time=datetime.timedelta(seconds=1))
    began = timezone.now() - datetime.timedelta(minutes=minutes)
    QueryExport.objects.filter(pk=row.pk).update(created_at=began)
    return row


@pytest.mark.django_db
def test_exports_are_listed_one_below_the_other(django_user_model):
    owner = django_user_model.objects.create_user("owner")
    make_export(minutes=60 * 24 * 3 + 65, created_by=owner)
    make_export(ExportState.FAIL, minutes=125)
    make_export(ExportState.SCHEDULED, minutes=5, name="authors")

    lines = list_exports().splitlines()

    columns = ["ID", "NAME", "STATE", "PERCENT", "ROWS", "ROWS/S", "AGE", "HEARTBEAT", "OWNER"]
    assert lines[0].split() == columns
    cells = [line.split("  ") for line in lines[1:]]
    cells = [[cell.strip() for cell in row if cell.strip()][1:] for row in cells]
    assert cells == [
        ["authors", "scheduled", "-", "-", "-", "5m 0s", "-", "-"],
        ["testapp.Author", "fail", "-", "0", "0", "2h 5m", "-", "-"],
        ["testapp.Author", "success", "100%", "12,345", "1,234", "3d 1h", "-", "owner"],
    ]
    ends = [line.index("ROWS/S") + len("ROWS/S") for line in lines[:1]]
    assert [line[end - 1] for line in lines for end in ends] == ["S", "-", "0", "4"]


@pytest.mark.django_db
def test_exports_are_chosen_by_state_and_limited():
    rows = [make_export(state, minutes=n) for n, state in enumerate(ExportState)]

    assert [each["id"] for each in read_json()] == [row.id for row in rows]
    assert [each["state"] for each in read_json("--limit", "2")] == ["scheduled", "processing"]
    states = ["--state", "fail", "--state", "success"]
    assert [each["state"] for each in read_json(*states)] == ["success", "fail"]
    assert list_exports("--state", "fail", "--limit", "1").count("fail") == 1


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_a_running_export_tells_its_speed_and_its_last_heartbeat(zone):
    row = make_export(ExportState.PROCESSING, minutes=2)
    QueryExport.objects.filter(pk=row.pk).update(
        heartbeat_at=DatabaseTime() - datetime.timedelta(seconds=90),
        start_time=timezone.now() - datetime.timedelta(seconds=10),
        row_count=5000,
        progress_percent=45,
    )

    with timezone.override(zone):
        [told] = read_json()
        line = list_exports().splitlines()[1]

    assert told["id"] == row.id
    assert (told["percent"], told["rows"], told["owner"]) == (45, 5000, None)
    assert 120 <= told["age"] < 150
    assert 90 <= told["heartbeat_age"] < 120
    assert 200 < told["rows_per_second"] <= 500
    assert "45%  5,000" in line
    assert " 1m 3" in line


@pytest.mark.django_db
def test_a_limit_is_a_positive_number():
    for text in ("0", "-1", "x", "²"):
        with pytest.raises(CommandError, match="must be a positive integer"):
            list_exports(f"--limit={text}")
    assert list_exports().splitlines() == [list_exports().strip()]


HOSTILE = "a\x1b[2J\x1b]0;owned\x07\nb\r\x9b\u202ec\x7f"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\nb\r\x9b\u202ec\x7f"


def assert_prints(said):
    assert all(each.isprintable() for line in said.split("\n") for each in line)


@pytest.mark.django_db
def test_the_list_prints_no_control_characters(django_user_model):
    owner = django_user_model.objects.create_user(HOSTILE)
    row = make_export(created_by=owner, name=HOSTILE)
    lines = list_exports().splitlines()
    assert len(lines) == 2
    assert lines[1].count(SHOWN) == 2
    assert lines[1].startswith(row.id)
    assert_prints("\n".join(lines))
    assert read_json()[0]["owner"] == HOSTILE


@pytest.mark.django_db
def test_an_error_prints_no_control_characters(spy):
    make_authors(1)

    def fail(number):
        raise ValueError(HOSTILE)

    spy(fail)
    with pytest.raises(CommandError) as caught:
        export(*AUTHORS)
    assert SHOWN.split(r"\n")[0] in str(caught.value)
    assert_prints(str(caught.value))
    with pytest.raises(CommandError) as caught:
        stream(*AUTHORS)
    assert_prints(str(caught.value))


@pytest.mark.django_db(databases=["default", "other"])
def test_pruning_prints_no_control_characters(media_root):
    path = media_root / "exports" / "a\u202evsc.exe"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (0, 0))
    said = io.StringIO()
    call_command("prune_exports", "--orphans", verbosity=2, stdout=said)
    assert r"exports/a\u202evsc.exe" in said.getvalue()
    assert_prints(said.getvalue())
