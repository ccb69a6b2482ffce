"""The change lists that tests export."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count
from django.db.models.functions import Upper

from django_infra.exporter.admin import export_selected
from testapp.models import Author, Book, Note, Profile, Publisher, Reader


@admin.register(Publisher)
class PublisherAdmin(admin.ModelAdmin):
    actions = [export_selected]
    search_fields = ["name"]


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    actions = [export_selected]
    list_display = ["name", "publisher", "book_count", "shout", "initial"]
    list_filter = ["publisher", "books__title"]
    search_fields = ["name", "books__title"]
    list_per_page = 10
    fields = ["name", "email", "publisher"]

    def get_queryset(self, request):
        queryset = super().get_queryset(request)
        return queryset.annotate(book_count=Count("books", distinct=True), loud=Upper("name"))

    @admin.display(ordering="book_count", description="books")
    def book_count(self, author):
        return author.book_count

    @admin.display(ordering="-loud")
    def shout(self, author):
        return author.loud

    @admin.display(description="initial letter")
    def initial(self, author):
        return author.name[:1]


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    actions = [export_selected]
    list_display = ["title", "author", "pages"]
    list_filter = ["author", "editors"]
    search_fields = ["title", "author__name", "editors__name"]
    date_hierarchy = "published_at"
    ordering = ["-title"]
    list_per_page = 10


@admin.register(Profile)
class ProfileAdmin(admin.ModelAdmin):
    actions = [export_selected]
    exclude = ["token"]


@admin.register(Reader)
class ReaderAdmin(admin.ModelAdmin):
    actions = [export_selected]
    list_display = ["role", "mood", "favourite"]


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    actions = None
