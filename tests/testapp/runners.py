"""Runners of a project's own."""

from __future__ import annotations

from django_infra.exporter.runners import Runner


class BoxRunner(Runner):
    """Put the ids of jobs into a box, from which a test takes them."""

    box = []

    def enqueue(self, export_id):
        self.box.append(export_id)


class BrokenRunner(Runner):
    def enqueue(self, export_id):
        raise ConnectionError("nobody is there")
