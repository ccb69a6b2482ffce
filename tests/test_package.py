"""What users get and do first: the wheel, and the README's steps in a new project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.external


def run(*command, cwd, **environ):
    """Run the command without the settings of these tests, and return what it prints."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in {"DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL"}
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


@pytest.fixture(scope="session")
def project(wheel, tmp_path_factory):
    """Follow the README in a new project that sees the wheel, and not this checkout."""
    folder = tmp_path_factory.mktemp("project")
    library = tmp_path_factory.mktemp("library")
    zipfile.ZipFile(wheel).extractall(library)
    run(sys.executable, "-m", "django", "startproject", "shop", str(folder), cwd=folder)

    readme = (ROOT / "README.md").read_text()
    (apps,) = re.findall(r"INSTALLED_APPS = \[\n\s+# \.\.\.\n(.*?)\]", readme, re.DOTALL)
    settings = folder / "shop/settings.py"
    settings.write_text(
        settings.read_text().replace("INSTALLED_APPS = [", f"INSTALLED_APPS = [{apps}")
    )
    (include,) = re.findall(r"^\s+(from django.urls import .*)$", readme, re.MULTILINE)
    (url,) = re.findall(r"^\s+(path\(\"api/exports/.*)$", readme, re.MULTILINE)
    urls = folder / "shop/urls.py"
    urls.write_text(
        urls.read_text()
        .replace("from django.urls import path", include)
        .replace("urlpatterns = [", f"urlpatterns = [\n    {url}")
    )

    def manage(*arguments):
        return run(
            sys.executable, "-W", "error", "manage.py", *arguments, cwd=folder, PYTHONPATH=library
        )

    manage("migrate")
    manage.folder = folder
    return manage


def test_new_project_is_clean(project):
    assert "no issues" in project("check")
    assert "No changes detected" in project("makemigrations", "exporter", "--check", "--dry-run")


def test_new_project_exports_and_shows_it(project):
    output = project(
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
    assert lines["file"].startswith(str(project.folder / "exports/User-"))
    assert lines["file"].endswith(r"b'id,username\r\n1,ann\r\n'")
    assert lines["anonymous"] == "403"
    assert lines["list"] == "True"
    assert lines["browsable"] == "200 True"
    assert lines["retrieve"] == "success"
    assert "400" in output.splitlines()[-1]
