"""What users get and do first: the wheel, and the README's steps in a new project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()

# What the README's examples take for granted.
SHOP = """
from django.db import models


class Country(models.Model):
    name = models.CharField(max_length=50)


class Customer(models.Model):
    name = models.CharField(max_length=50)
    country = models.ForeignKey(Country, models.PROTECT)
    is_active = models.BooleanField(default=True)


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE)
    total = models.DecimalField(max_digits=10, decimal_places=2)
"""
CUSTOMERS = """
from shop.models import Country, Customer, Order
chile = Country.objects.create(name="Chile")
peru = Country.objects.create(name="Peru")
ann = Customer.objects.create(name="Ann", country=chile)
Customer.objects.create(name="Bob", country=chile, is_active=False)
Customer.objects.bulk_create(Customer(name="Cy", country=peru) for _ in range({active} - 1))
Order.objects.create(customer=ann, total="3.25")
Order.objects.create(customer=ann, total="4.50")
"""

pytestmark = pytest.mark.external


def run(*command, cwd, **environ):
    """Run the command without the settings of these tests, and return what it prints."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL"}
        and not key.startswith(("EXPORTER_", "PYTEST_"))
    }
    result = subprocess.run(
        command, cwd=cwd, env={**inherited, **environ}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


def test_the_sdist_runs_its_own_tests(tmp_path):
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path), cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    folder = tmp_path / archive.name.removesuffix(".tar.gz")
    pytest_in_it = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    modules = [
        "tests/test_docs.py",
        "tests/api/test_filenames.py",
        "tests/exporter/delivery/test_paths.py",
    ]
    output = run(*pytest_in_it, *modules, cwd=folder, PYTHONPATH=folder / "src")
    assert re.search(r"^\d+ passed in", output, re.MULTILINE)
    tests = {path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py")}
    assert {path.relative_to(folder) for path in (folder / "tests").rglob("*.py")} == tests


def test_wheel_holds_the_package_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {
        "django_infra",
        re.sub(r"-py3.*", ".dist-info", wheel.name),
    }
    assert "django_infra/py.typed" in names
    assert "django_infra/exporter/migrations/0001_initial.py" in names
    assert "django_infra/exporter/static/exporter/admin.js" in names
    assert "django_infra/exporter/templates/admin/exporter/queryexport/change_list.html" in names


@pytest.fixture(scope="session")
def metadata(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
    return archive.read(name).decode()


def test_wheel_needs_django_and_rest_framework_alone(metadata):
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra)", metadata, re.MULTILINE)
    assert sorted(required) == ["django", "django-filter", "djangorestframework"]
    assert "Requires-Python: >=3.11" in metadata


def test_wheel_is_preferred_to_the_other_package_of_its_name(metadata):
    (version,) = re.findall(r"^Version: (\d+)\.(\d+)\.(\d+)", metadata, re.MULTILINE)
    assert tuple(map(int, version)) > (0, 1, 14)


def test_wheel_leads_to_the_repository(metadata):
    urls = dict(re.findall(r"^Project-URL: (\w+), (.*)$", metadata, re.MULTILINE))
    assert set(urls) == {"Changelog", "Documentation", "Homepage", "Issues", "Source"}
    assert [url for url in urls.values() if not url.startswith(urls["Source"])] == []


class Project:
    """A project in a folder, which sees the library."""

    def __init__(self, folder, library):
        self.folder = folder
        self.library = library

    def python(self, *arguments):
        command = [sys.executable, "-W", "error", *arguments]
        return run(*command, cwd=self.folder, PYTHONPATH=str(self.library))

    def manage(self, *arguments):
        return self.python("manage.py", *arguments)


@pytest.fixture(scope="session")
def project(wheel, tmp_path_factory):
    """Follow the README in a new project that sees the wheel, and not this checkout."""
    folder = tmp_path_factory.mktemp("project")
    library = tmp_path_factory.mktemp("library")
    zipfile.ZipFile(wheel).extractall(library)
    run(sys.executable, "-m", "django", "startproject", "project", str(folder), cwd=folder)

    (apps,) = re.findall(r"INSTALLED_APPS = \[\n\s+# \.\.\.\n(.*?)\]", README, re.DOTALL)
    (media_root,) = re.findall(r"^\s+(MEDIA_ROOT = .*)$", README, re.MULTILINE)
    settings = folder / "project/settings.py"
    settings.write_text(
        settings.read_text().replace("INSTALLED_APPS = [", f"INSTALLED_APPS = [{apps}")
        + f"{media_root}\n"
    )
    (include,) = re.findall(r"^\s+(from django.urls import .*)$", README, re.MULTILINE)
    (url,) = re.findall(r"^\s+(path\(\"api/exports/.*)$", README, re.MULTILINE)
    urls = folder / "project/urls.py"
    urls.write_text(
        urls.read_text()
        .replace("from django.urls import path", include)
        .replace("urlpatterns = [", f"urlpatterns = [\n    {url}")
    )

    project = Project(folder, library)
    project.manage("migrate")
    return project


def test_new_project_is_clean(project):
    assert "no issues" in project.manage("check")
    assert "No changes detected" in project.manage(
        "makemigrations", "exporter", "--check", "--dry-run"
    )


def test_new_project_exports_and_shows_it(project):
    output = project.manage(
        "shell",
        "--command",
        """
from django.contrib.auth.models import User
from django.test import Client
from django_infra.exporter.export import export_queryset
import django_infra
print("package", django_infra.__file__)
ann = User.objects.create_user("ann")
export = export_queryset(User.objects.all(), ["id", "username"], created_by=ann)
print("file", export.file.path, export.file.open().read())
client = Client(headers={"host": "localhost"})
print("anonymous", client.get("/api/exports/").status_code)
client.force_login(ann)
print("list", client.get("/api/exports/?state=success").json()["results"][0]["id"] == export.id)
page = client.get(f"/api/exports/", headers={"accept": "text/html"})
print("browsable", page.status_code, export.id in page.content.decode())
print("retrieve", client.get(f"/api/exports/{export.id}/").json()["state"])
print("unknown state", client.get("/api/exports/?state=x").status_code)
""",
    )

    lines = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    assert "library" in lines["package"]
    assert lines["file"].startswith(str(project.folder / "media/exports/User-"))
    assert lines["file"].endswith(r"b'id,username\r\n1,ann\r\n'")
    assert lines["anonymous"] == "403"
    assert lines["list"] == "True"
    assert lines["browsable"] == "200 True"
    assert lines["retrieve"] == "success"
    assert "400" in output.splitlines()[-1]


@pytest.fixture
def shop(project, tmp_path):
    """Give another project, with the app that the README's examples are about."""
    folder = tmp_path / "site"
    shutil.copytree(project.folder, folder)
    package = folder / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(SHOP)
    settings = folder / "project/settings.py"
    settings.write_text(
        settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "shop",')
    )
    shop = Project(folder, project.library)
    shop.manage("makemigrations", "shop")
    shop.manage("migrate")
    return shop


def read_examples():
    """Return the README's blocks of Python; those of the steps are followed by the project."""
    return re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def forget_id(text):
    """Put a word in place of the time and the random characters in a path."""
    return re.sub(r"-\d{14}-[0-9A-Za-z]{22}\b", "-{time}-{random}", text)


def test_the_readme_prints_what_it_says(shop):
    example, _ = read_examples()
    code, shown = re.fullmatch(r"(.*)\n# (.*)\n", example, re.DOTALL).groups()
    shop.manage("shell", "--command", CUSTOMERS.format(active=int(shown.split()[1])))

    code += "\nprint(export.file.path)\n"
    *_, printed, path = shop.manage("shell", "--command", code).splitlines()

    assert forget_id(printed) == forget_id(shown)
    assert "{random}" in forget_id(printed)
    header, row, *_ = Path(path).read_text().splitlines()
    assert header == "No.,Name,Country,Orders,Revenue"
    assert row == "1,Ann,Chile,2,7.75"


def test_the_named_export_of_the_readme_works(shop):
    _, example = read_examples()
    (shop.folder / example.splitlines()[0].removeprefix("# ")).write_text(example)
    (view,) = re.findall(r"^A view starts it by `(.*)`, from `(.*)`\.$", README, re.MULTILINE)
    shop.manage("shell", "--command", CUSTOMERS.format(active=3))

    output = shop.manage(
        "shell",
        "--command",
        f"""
from types import SimpleNamespace
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from {view[1]} import enqueue_export
user = User.objects.create_user("cat")
def start():
    request = SimpleNamespace(user=User.objects.get(pk=user.pk))
    return {view[0]}
try:
    start()
except PermissionDenied as error:
    print("refused:", error)
user.user_permissions.add(Permission.objects.get(codename="view_customer"))
print("file:", start().file.open().read())
""",
    )

    refused, file = re.findall(r"^\w+: (.*)$", output, re.MULTILINE)
    assert refused.startswith("'cat' may not run the export 'customers'")
    assert file == r"b'id,name\r\n1,Ann\r\n2,Bob\r\n'"


def test_the_readme_tells_which_package_is_installed(project):
    told = re.search(r"^`python (-m pip show .*)` tells .*`(Version: .*)` ", README, re.MULTILINE)
    command, shown = told.groups()
    assert shown in project.python(*command.split()).splitlines()


STARTS_WITHOUT_API = """
import sys

import django
from django.conf import settings

apps = ["admin", "auth", "contenttypes", "messages", "sessions"]
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "django_infra.exporter"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ROOT_URLCONF="urls",
)
django.setup()

import urls
import django_infra.exporter.export

assert urls.admin.site.is_registered(django_infra.exporter.models.QueryExport)
print([name for name in sys.modules if name.startswith(("rest_framework", "django_filters"))])
"""


def test_a_project_without_the_api_does_not_load_rest_framework(tmp_path):
    urls = "from django.contrib import admin\nfrom django.urls import path\n"
    (tmp_path / "urls.py").write_text(f"{urls}urlpatterns = [path('admin/', admin.site.urls)]\n")
    assert run(sys.executable, "-c", STARTS_WITHOUT_API, cwd=tmp_path).strip() == "[]"
