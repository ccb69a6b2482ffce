"""What the OpenAPI schema says; test_fuzz.py compares it with what the server does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from django_infra.exporter.rest.serializers import QueryExportSerializer
from django_infra.exporter.states import ExportState
from django_infra.exporter.views import QueryExportViewSet


class ProjectExportSerializer(QueryExportSerializer):
    class Meta(QueryExportSerializer.Meta):
        fields = [*QueryExportSerializer.Meta.fields, "params"]


class ProjectViewSet(QueryExportViewSet):
    """What a project makes of it."""

    serializer_class = ProjectExportSerializer


router = SimpleRouter()
router.register("project", ProjectViewSet, basename="project")
urlpatterns = [path("", include(router.urls))]


@pytest.fixture(scope="module")
def schema():
    return generate()


def generate():
    out = StringIO()
    call_command("spectacular", "--fail-on-warn", "--validate", format="openapi-json", stdout=out)
    return json.loads(out.getvalue())


def find(schema, path, method):
    return schema["paths"][f"/api/exports/{path}"][method]


def test_every_endpoint_is_there(schema):
    found = {
        (path.removeprefix("/api/exports/"), method)
        for path, methods in schema["paths"].items()
        for method in methods
        if path.startswith("/api/exports/")
    }
    assert found == {
        ("", "get"),
        ("", "post"),
        ("available/", "get"),
        ("signed/{token}/", "get"),
        ("{id}/", "get"),
        ("{id}/", "delete"),
        ("{id}/cancel/", "post"),
        ("{id}/download/", "get"),
    }


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("", "get", "200 304 400 401 403 406 429"),
        ("", "post", "201 400 401 403 406 415 429 503"),
        ("available/", "get", "200 304 401 403 406 429"),
        ("{id}/", "get", "200 304 400 401 403 404 406 429"),
        ("{id}/", "delete", "204 401 403 404 406 409 429"),
        ("{id}/cancel/", "post", "200 400 401 403 404 406 409 429 503"),
        ("signed/{token}/", "get", "200 206 302 304 403 404 406 409 410 412 416 429 503"),
        ("{id}/download/", "get", "200 206 302 304 401 403 404 406 409 410 412 416 429 503"),
    ],
)
def test_every_answer_is_described(schema, path, method, statuses):
    responses = find(schema, path, method)["responses"]
    assert sorted(responses) == statuses.split()
    for status, response in responses.items():
        if status >= "400":
            assert response["description"]


def test_every_operation_has_a_summary_of_its_own(schema):
    summaries = [
        operation["summary"]
        for path, methods in schema["paths"].items()
        for operation in methods.values()
        if path.startswith("/api/exports/")
    ]
    assert len(set(summaries)) == len(summaries) == 8


def test_the_parameters_of_the_list_have_types(schema):
    parameters = {each["name"]: each for each in find(schema, "", "get")["parameters"]}
    assert set(parameters) == {
        "state",
        "format",
        "name",
        "created_by",
        "start_time_after",
        "start_time_before",
        "row_count_min",
        "row_count_max",
        "file_size_min",
        "file_size_max",
        "search",
        "ordering",
        "fields",
        "cursor",
        "page_size",
    }
    assert parameters["row_count_min"]["schema"]["type"] == "integer"
    assert parameters["start_time_after"]["schema"]["format"] == "date-time"
    assert set(parameters["state"]["schema"]["items"]["enum"]) == set(ExportState.values)


def test_one_export_has_no_filters(schema):
    names = {each["name"] for each in find(schema, "{id}/", "get")["parameters"]}
    assert names == {"id", "fields"}
    names = {each["name"] for each in find(schema, "{id}/cancel/", "post")["parameters"]}
    assert names == {"id", "fields"}


def test_an_export_has_all_its_keys_of_which_none_is_sure(schema):
    component = schema["components"]["schemas"]["QueryExport"]
    assert list(component["properties"]) == QueryExportSerializer.Meta.fields
    assert "required" not in component
    assert "required" not in schema["components"]["schemas"]["Metadata"]
    assert component["properties"]["download_url"]["nullable"]
    assert schema["components"]["schemas"]["Metadata"]["properties"]["row_count"]["nullable"]


@pytest.mark.urls(__name__)
def test_the_view_of_a_project_is_described_too():
    schema = generate()
    paths = schema["paths"]
    assert "409" in paths["/project/{id}/cancel/"]["post"]["responses"]
    components = schema["components"]["schemas"]
    assert "params" in components["ProjectExport"]["properties"]
    assert paths["/project/"]["get"]["description"] == "What a project makes of it."


@pytest.mark.external
def test_a_process_without_views_does_not_load_it():
    code = "import django, sys; django.setup(); sys.exit('drf_spectacular.plumbing' in sys.modules)"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
