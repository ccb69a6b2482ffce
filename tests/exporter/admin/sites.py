"""Admin sites and change lists that are exported from, and the URLs of the sites."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import Count
from django.urls import include, path

from django_infra.exporter.admin import QueryExportAdmin, export_selected
from django_infra.exporter.models import QueryExport
from testapp.models import Author, Book, Publisher


class InitialFilter(admin.SimpleListFilter):
    """Filter by any letter, and offer one."""

    title = "initial"
    parameter_name = "initial"

    def lookups(self, request, model_admin):
        return [("A", "A")]

    def queryset(self, request, queryset):
        return queryset.filter(name__startswith=self.value()) if self.value() else queryset


class AuthorAdmin(admin.ModelAdmin):
    actions = [export_selected]
    list_display = ["name", "publisher", "book_count", "initial"]
    list_filter = ["publisher", InitialFilter]
    search_fields = ["name"]
    ordering = ["-name"]

    def get_queryset(self, request):
        return super().get_queryset(request).annotate(book_count=Count("books"))

    @admin.display(ordering="book_count")
    def book_count(self, author):
        return author.book_count

    @admin.display(description="initial letter")
    def initial(self, author):
        return author.name[:1]


class BookAdmin(admin.ModelAdmin):
    """Without exports."""


# All models of the one offer exports.
office = admin.AdminSite("office")
office.register(QueryExport, QueryExportAdmin)
office.register(Author, AuthorAdmin)
office.register(Book, BookAdmin)
office.register(Publisher)

wide = admin.AdminSite("wide")
wide.register(QueryExport, QueryExportAdmin)
wide.register(Book, BookAdmin)
wide.register(User, UserAdmin)
wide.add_action(export_selected)

bare = admin.AdminSite("bare")
bare.register(Author, AuthorAdmin)

urlpatterns = [
    path("office/", office.urls),
    path("wide/", wide.urls),
    path("bare/", bare.urls),
    path("api/exports/", include("django_infra.exporter.urls", namespace="exporter")),
]
