from __future__ import annotations

from django.db import models


class Order(models.Model):
    """What each tenant has in a schema of its own."""

    name = models.CharField(max_length=20)

    def __str__(self):
        return self.name
