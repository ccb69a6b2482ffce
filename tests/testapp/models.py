from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models.query import ValuesListIterable
from django.utils.translation import gettext_lazy as _

from django_infra.db.models import UpdatableModel
from django_infra.exporter.models import QueryExport
from testapp.fields import GrudgingField, QueryingField, ReversedField


class Publisher(models.Model):
    name = models.CharField(max_length=200)

    def __str__(self):
        return self.name


class Author(models.Model):
    name = models.CharField(max_length=200)
    email = models.EmailField(blank=True)
    born = models.DateField(null=True)
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True, related_name="authors")

    def __str__(self):
        return self.name


class LivingAuthor(Author):
    class Meta:
        proxy = True


class LongBooks(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(pages__gt=10)


class Book(models.Model):
    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editors = models.ManyToManyField(Author, related_name="edited_books")
    pages = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    published_at = models.DateTimeField(null=True)
    data = models.JSONField(default=dict)

    objects = models.Manager()
    long = LongBooks()

    def __str__(self):
        return self.title


class Passport(models.Model):
    """What belongs to one other row, with values that no form has."""

    author = models.OneToOneField(Author, models.CASCADE, related_name="passport")
    number = models.CharField(max_length=100)
    token = models.CharField(max_length=100, editable=False)
    issued_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return str(self.pk)


class Letter(models.Model):
    """Two ways to one model, and a field whose name is the header of another column."""

    Kind = models.CharField(max_length=10, choices=[("n", "Note"), ("b", "Bill")])
    sender = models.ForeignKey(Author, models.CASCADE, related_name="sent_letters")
    receiver = models.ForeignKey(Author, models.CASCADE, related_name="letters")

    def __str__(self):
        return str(self.pk)


class Comic(Book):
    artist = models.CharField(max_length=100)


class Note(models.Model):
    text = models.TextField()
    # An app without migrations cannot refer to the table of one with them.
    content_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    object_id = models.PositiveIntegerField()
    content_object = GenericForeignKey()

    def __str__(self):
        return self.text


class Translation(models.Model):
    pk = models.CompositePrimaryKey("book_id", "language")
    book = models.ForeignKey(Book, models.CASCADE)
    language = models.CharField(max_length=10)
    title = models.CharField(max_length=200)

    def __str__(self):
        return self.title


class Edition(models.Model):
    """A key of parts that Django converts."""

    pk = models.CompositePrimaryKey("number", "token", "printed_at")
    number = models.IntegerField()
    token = models.UUIDField()
    printed_at = models.DateTimeField()
    details = models.JSONField(default=dict)

    def __str__(self):
        return str(self.pk)


class Everything(models.Model):
    """One column of each type that all databases have."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=1000, null=True)  # noqa: DJ001
    date = models.DateField(null=True)
    datetime = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    duration = models.DurationField(null=True)
    floating = models.FloatField(null=True)
    integer = models.IntegerField(null=True)
    ip = models.GenericIPAddressField(null=True)
    json = models.JSONField(null=True)
    reversed = ReversedField(max_length=100, null=True)
    text = models.TextField(null=True)  # noqa: DJ001
    time = models.TimeField(null=True)
    uuid = models.UUIDField(null=True)

    def __str__(self):
        return str(self.pk)


class Grudge(models.Model):
    number = GrudgingField()

    def __str__(self):
        return str(self.number)


class Lookup(models.Model):
    text = QueryingField(max_length=50)

    def __str__(self):
        return self.text


class ShoutingIterable(ValuesListIterable):
    def __iter__(self):
        for row in super().__iter__():
            yield tuple(cell.upper() if isinstance(cell, str) else cell for cell in row)


class ShoutingQuerySet(models.QuerySet):
    """Rows of its own making, and a column more than asked for, as translating packages have."""

    def values_list(self, *fields, **kwargs):
        clone = super().values_list(*fields, "id", **kwargs)
        clone._iterable_class = ShoutingIterable
        return clone


class Shout(models.Model):
    text = models.CharField(max_length=50)

    objects = ShoutingQuerySet.as_manager()

    def __str__(self):
        return self.text


class Reader(models.Model):
    """Choices of each kind."""

    class Role(models.IntegerChoices):
        READER = 1, _("Reader")
        WRITER = 2, _("Writer's")
        __empty__ = _("None of these")

    role = models.IntegerField(choices=Role, null=True)
    mood = models.CharField(max_length=10, choices={"": "Blank", "In groups": {"a": "Agile"}})
    favourite = models.ForeignKey("Author", models.CASCADE)

    def __str__(self):
        return str(self.pk)


class Profile(UpdatableModel):
    name = models.CharField(max_length=100)
    nickname = models.CharField(max_length=100, blank=True)
    visits = models.IntegerField(default=0)
    tags = models.JSONField(default=list)
    author = models.ForeignKey(Author, models.SET_NULL, null=True)
    picture = models.FileField(blank=True)
    token = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self):
        return self.name


class SpecialProfile(Profile):
    title = models.CharField(max_length=100)


class Receipt(models.Model):
    """What keeps the row of an export from being deleted."""

    export = models.ForeignKey(QueryExport, models.PROTECT, db_constraint=False)

    def __str__(self):
        return self.export_id


if connection.vendor == "postgresql":
    from django.contrib.postgres import fields as postgres

    class PostgresEverything(models.Model):
        array = postgres.ArrayField(models.CharField(max_length=50, null=True), null=True)
        matrix = postgres.ArrayField(postgres.ArrayField(models.IntegerField(null=True)), null=True)
        decimals = postgres.ArrayField(
            models.DecimalField(max_digits=8, decimal_places=2), null=True
        )
        hstore = postgres.HStoreField(null=True)
        numbers = postgres.IntegerRangeField(null=True)
        times = postgres.DateTimeRangeField(null=True)

        class Meta:
            required_db_vendor = "postgresql"

        def __str__(self):
            return str(self.pk)


class Odd(models.Model):
    """A table whose columns a test creates, of other types than the fields have."""

    uuid = models.UUIDField()
    decimal = models.DecimalField(max_digits=10, decimal_places=2)
    boolean = models.BooleanField()

    class Meta:
        managed = False

    def __str__(self):
        return str(self.pk)
