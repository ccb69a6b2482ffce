"""Whatever admins, inlines, proxies, forms and permissions: what is offered stands on a page."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from html import unescape
from types import ModuleType

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import Permission, User
from django.db import models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import Client, RequestFactory, override_settings
from django.test.utils import isolate_apps
from django.urls import path

from django_infra.exporter.admin import QueryExportAdmin, export_selected
from django_infra.exporter.changelists.groups import list_columns
from django_infra.exporter.changelists.offers import list_groups
from django_infra.exporter.changelists.rows import Listing
from django_infra.exporter.models import QueryExport
from generated import given, settings, st
from testapp.models import Author, Book, Letter, LivingAuthor, Passport, Profile, Publisher

pytestmark = pytest.mark.django_db

# What each model has besides keys and what tells when a row was made.
TEXTS = {
    Book: ["title", "loud"],
    Author: ["name", "email"],
    Publisher: ["name"],
    Passport: ["number", "token"],
}
RELATIONS = {Book: ["author"], Author: ["publisher"], Publisher: [], Passport: ["author"]}


# Ways in which a project hides something of the first row.


def is_first(obj):
    return (
        obj is not None
        and obj.pk is not None
        and not type(obj)._base_manager.filter(pk__lt=obj.pk).exists()
    )


class HidingFields(ModelAdmin):
    def get_fields(self, request, obj=None):
        return super().get_fields(request, obj)[: 0 if is_first(obj) else None]


class HidingExclude(ModelAdmin):
    def get_exclude(self, request, obj=None):
        return TEXTS[Author] + TEXTS[Passport] if is_first(obj) else super().get_exclude(request)


class HidingFieldsets(ModelAdmin):
    def get_fieldsets(self, request, obj=None):
        return [] if is_first(obj) else super().get_fieldsets(request, obj)


class HidingPermission(ModelAdmin):
    def has_view_permission(self, request, obj=None):
        return not is_first(obj) and super().has_view_permission(request, obj)

    def has_change_permission(self, request, obj=None):
        return not is_first(obj) and super().has_change_permission(request, obj)


class HidingView(ModelAdmin):
    def get_object(self, request, object_id, from_field=None):
        found = super().get_object(request, object_id, from_field)
        return None if is_first(found) else found


class HidingRows(ModelAdmin):
    def get_queryset(self, request):
        rows = super().get_queryset(request)
        return rows.exclude(pk=rows.model._base_manager.order_by("pk").first().pk)


class NarrowChangeList(ChangeList):
    def get_queryset(self, request, exclude_parameters=None):
        rows = super().get_queryset(request, exclude_parameters)
        return rows.exclude(pk=rows.model._base_manager.order_by("pk").first().pk)


class HidingList(ModelAdmin):
    def get_changelist(self, request, **kwargs):
        return NarrowChangeList


class HidingForm(forms.ModelForm):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if is_first(self.instance):
            for name in list(self.fields):
                if name in ("title", "email", "number"):
                    del self.fields[name]


class Masked(forms.TextInput):
    def format_value(self, value):
        return "***"


class MaskingForm(forms.ModelForm):
    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in ("email", "number", "title"):
            if name in cls.base_fields:
                cls.base_fields[name].widget = Masked()


HIDING = [
    HidingFields, HidingExclude, HidingFieldsets, HidingPermission, HidingView, HidingRows,
    HidingList,
]  # fmt: skip
FORMS = [forms.ModelForm, HidingForm, MaskingForm]


def choose(names):
    return st.lists(st.sampled_from(names), unique=True)


@st.composite
def admins(draw, model):
    """Draw the class of an admin of the model."""
    names = [name for name in (*TEXTS[model], *RELATIONS[model]) if name != "loud"]
    listed = [name for name in names if name not in RELATIONS[model]] + ["pk"]
    paths = {Book: ["author__email", "author__passport__number"], Author: ["passport__token"]}
    attrs = {"actions": [export_selected]}
    if model is Book:
        attrs["get_queryset"] = get_loud_rows
        attrs["shout"] = admin.display(ordering="loud")(lambda self, book: book.loud)
        listed.append("shout")
    attrs["list_display"] = draw(choose([*listed, *paths.get(model, ())])) or ["pk"]
    for attribute in draw(choose(["fields", "exclude", "readonly_fields"])):
        attrs[attribute] = draw(choose(names)) or (None if attribute == "fields" else ())
    kind = draw(st.sampled_from(FORMS))
    if draw(st.booleans()):
        editable = [name for name in names if model._meta.get_field(name).editable]
        meta = type("Meta", (), {"model": model, "fields": draw(choose(editable))})
        kind = type("DrawnForm", (kind,), {"Meta": meta})
    attrs["form"] = kind
    base = draw(st.just(ModelAdmin) | st.sampled_from(HIDING))
    return type(f"Drawn{model.__name__}Admin", (base,), attrs)


def get_loud_rows(self, request):
    return self.model._default_manager.annotate(loud=Concat(Value("loud "), F("title")))


@st.composite
def sites(draw):
    """Draw what is registered on a site, and what a user may do there."""
    registered = {Book: draw(admins(Book))}
    inline = None
    if draw(st.booleans()):
        attrs = {"model": Passport, "fields": draw(st.none() | choose(["number"]))}
        attrs["readonly_fields"] = draw(choose(["token"]))
        inline = type("DrawnInline", (admin.StackedInline,), attrs)
    for model in (Author, LivingAuthor, Publisher, Passport):
        if draw(st.booleans()):
            kind = draw(admins(model._meta.concrete_model))
            if model in (Author, LivingAuthor) and inline and draw(st.booleans()):
                kind = type(kind.__name__, (kind,), {"inlines": [inline]})
            registered[model] = kind
    names = [
        f"{action}_{model._meta.model_name}"
        for action in ("view", "change")
        for model in (Author, LivingAuthor, Publisher, Passport)
    ]
    permissions = draw(choose(names)) or names
    return registered, ["view_book", *permissions]


def make_rows():
    """Create rows that have no text in common."""
    numbers = itertools.count(10_000_000)
    for _ in range(2):
        text = lambda: f"t{next(numbers)}e"  # noqa: E731
        publisher = Publisher.objects.create(name=text())
        author = Author.objects.create(
            name=text(), email=f"{text()}@example.org", publisher=publisher
        )
        Passport.objects.create(author=author, number=text(), token=text())
        Book.objects.create(title=text(), author=author)


@contextmanager
def serve(registered):
    """Serve a site with the admins."""
    site = admin.AdminSite("admin")
    site.register(QueryExport, QueryExportAdmin)
    for model, kind in registered.items():
        site.register(model, kind)
    urls = ModuleType("urls_of_shown")
    urls.urlpatterns = [path("own/", site.urls)]
    with override_settings(ROOT_URLCONF=urls):
        yield site


def read_pages(site, user):
    """Return all that the user can read on the lists and the pages of rows."""
    client = Client(raise_request_exception=False)
    client.force_login(user)
    text = ""
    for model in site._registry:
        if model is QueryExport:
            continue
        url = f"/own/testapp/{model._meta.model_name}/"
        keys = model._base_manager.values_list("pk", flat=True)
        for each in [url, *(f"{url}{key}/change/" for key in keys)]:
            response = client.get(each)
            if response.status_code == 200:
                text += unescape(response.content.decode())
    return text


def offer(site, user, model=Book):
    """Return the rows of the change list, and the columns that the user is offered of them."""
    request = RequestFactory().get("/")
    request.user = user
    listing = Listing(site.get_model_admin(model), request)
    rows = listing.get_rows()
    return rows, list_columns(list_groups(listing, rows))


# What a user may ask for, whether or not it is offered.
PATHS = [
    *(f"{before}{name}" for before in ("", "author__") for name in ("id", "pk", "author", "born")),
    *(f"{before}author__{name}" for before in ("", "author__") for name in TEXTS[Author]),
    *(f"author__passport__{name}" for name in ("number", "token", "author", "id")),
    *(f"author__publisher__{name}" for name in ("name", "id")),
    "title",
    "loud",
]


def offer_one(site, user, path):
    """Return the column at the path if it is offered to who asks for that alone."""
    request = RequestFactory().get("/")
    request.user = user
    listing = Listing(site.get_model_admin(Book), request)
    return list_columns(list_groups(listing, listing.get_rows(), paths=[path])).get(path)


def make_user(names):
    user, _ = User.objects.get_or_create(username="reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return User.objects.get(pk=user.pk)


# Each example opens a dozen pages.
@settings(max_examples=min(settings.default.max_examples, 100))
@given(sites())
def test_each_offered_value_stands_on_a_page_of_the_site(drawn):
    registered, permissions = drawn
    with transaction.atomic(), serve(registered) as site:
        make_rows()
        user = make_user(permissions)
        rows, columns = offer(site, user)
        text = read_pages(site, user)
        for name in columns:
            for value in rows.values_list(name, flat=True):
                # Only texts are unlike all else.
                assert not isinstance(value, str) or value in text, (name, value)
        # A worker asks about the chosen columns alone, and is told the same.
        for path in {*PATHS, *columns}:
            alone, offered = offer_one(site, user, path), columns.get(path)
            assert (alone and alone.source) == (offered and offered.source), path
        transaction.set_rollback(True)


# One by one


class PlainBookAdmin(ModelAdmin):
    actions = [export_selected]


class PassportInline(admin.StackedInline):
    model = Passport


class WithInline(ModelAdmin):
    inlines = [PassportInline]


EVERYTHING = ["view_book", "view_author", "view_livingauthor", "view_publisher", "view_passport"]


def list_offered(registered, prefix="author__", *, permissions=EVERYTHING):
    """Return what of the books' authors is offered, by paths that go on after the prefix."""
    with serve({Book: PlainBookAdmin, **registered}) as site:
        columns = offer(site, make_user(permissions))[1]
    return {name.removeprefix(prefix) for name in columns if name.startswith(prefix)}


PASSPORT = "author__passport__"


def test_a_related_model_without_a_page_is_not_offered():
    assert list_offered({}) == set()
    assert list_offered({Author: ModelAdmin}, PASSPORT) == set()
    assert list_offered({Author: ModelAdmin}) == {"id", "name", "email", "born", "publisher"}


def test_an_inline_shows_what_it_has_to_those_who_may_see_it():
    assert list_offered({Author: WithInline}, PASSPORT) == {"id", "number", "author", "issued_at"}
    others = [name for name in EVERYTHING if name != "view_passport"]
    assert list_offered({Author: WithInline}, PASSPORT, permissions=others) == set()


def test_an_inline_of_a_page_that_the_user_cannot_open_shows_nothing():
    others = [name for name in EVERYTHING if name != "view_author"]
    assert list_offered({Author: WithInline}, permissions=others) == set()


@pytest.mark.parametrize(
    "attrs",
    [
        {"get_queryset": lambda self, request: Passport.objects.exclude(number="")},
        {"get_fields": lambda self, request, obj=None: ["number"]},
        {"has_view_permission": lambda self, request, obj=None: True},
        {"form": HidingForm},
        {"formset": type("Own", (forms.BaseInlineFormSet,), {"get_queryset": list})},
        {"export_exclude": ["id", "number", "author", "issued_at"]},
    ],
)
def test_an_inline_that_may_hide_something_shows_nothing(attrs):
    inline = type("Own", (PassportInline,), attrs)
    kind = type("Own", (ModelAdmin,), {"inlines": [inline]})
    assert list_offered({Author: kind}, PASSPORT) == set()


def test_a_page_that_fails_shows_nothing():
    form = type("Own", (forms.ModelForm,), {"Meta": type("Meta", (), {"exclude": ["email"]})})
    own = type("Own", (WithInline,), {"form": form, "fields": ["name", "email"]})
    assert list_offered({Author: own}) == {"id"}
    assert list_offered({Author: own}, PASSPORT) == set()


def test_inlines_that_depend_on_the_row_show_nothing():
    def get_inlines(self, request, obj):
        return self.inlines

    kind = type("Own", (WithInline,), {"get_inlines": get_inlines})
    assert list_offered({Author: kind}, PASSPORT) == set()
    kind.export_same_for_all_rows = True
    assert "number" in list_offered({Author: kind}, PASSPORT)


def test_a_proxy_shows_what_its_admin_has():
    kind = type("Own", (ModelAdmin,), {"fields": ["email"]})
    assert list_offered({LivingAuthor: kind}) == {"id", "email"}
    assert "name" in list_offered({LivingAuthor: kind, Author: ModelAdmin})


def test_values_that_no_form_has_are_offered_where_they_are_shown():
    shown = {"id", "number", "author", "issued_at"}
    registered = {Author: ModelAdmin, Passport: ModelAdmin}
    assert list_offered(registered, PASSPORT) == shown
    for attrs in ({"readonly_fields": ["token"]}, {"list_display": ["token"]}):
        kind = type("Own", (ModelAdmin,), attrs)
        registered = {Author: ModelAdmin, Passport: kind}
        assert list_offered(registered, PASSPORT) == {*shown, "token"}


def test_the_fields_of_a_form_are_those_that_it_chooses():
    meta = type("Meta", (), {"model": Passport, "fields": ["author"]})
    form = type("Own", (forms.ModelForm,), {"Meta": meta})
    kind = type("Own", (ModelAdmin,), {"form": form})
    shown = list_offered({Author: ModelAdmin, Passport: kind}, PASSPORT)
    assert shown == {"id", "author", "issued_at"}


def test_what_a_form_asks_for_under_the_name_of_a_field_is_not_the_field():
    meta = type("Meta", (), {"model": Author, "exclude": ["email"]})
    form = type("Own", (forms.ModelForm,), {"Meta": meta, "email": forms.CharField()})
    assert "email" not in list_offered({Author: type("Own", (ModelAdmin,), {"form": form})})


class Silent(forms.Widget):
    template_name = "django/forms/widgets/attrs.html"


@pytest.mark.parametrize(
    "widget",
    [
        forms.CheckboxInput, forms.FileInput, forms.HiddenInput, forms.PasswordInput,
        forms.Select, Masked, Silent,
    ],
)  # fmt: skip
def test_an_input_that_does_not_show_its_value_shows_nothing(widget):
    meta = type("Meta", (), {"widgets": {"email": widget}})
    form = type("Own", (forms.ModelForm,), {"Meta": meta})
    shown = list_offered({Author: type("Own", (ModelAdmin,), {"form": form})})
    assert shown == {"id", "name", "born", "publisher"}


@pytest.mark.parametrize("kind", [each for each in HIDING if each not in (HidingRows, HidingList)])
def test_what_depends_on_the_row_is_offered_from_the_list_alone(kind):
    own = type("Own", (kind,), {"list_display": ["name"]})
    assert list_offered({Author: own}) == {"id", "name"}
    own.export_same_for_all_rows = True
    assert "name" in list_offered({Author: own})


def test_a_project_can_say_that_its_pages_are_alike():
    def get_fields(self, request, obj=None):
        return ["email"] if obj else ["name"]

    own = type("Own", (ModelAdmin,), {"get_fields": get_fields})
    assert list_offered({Author: own}) == {"id"}
    own.export_same_for_all_rows = True
    assert list_offered({Author: own}) == {"id", "email"}


def test_methods_that_are_set_on_the_object_count_too(monkeypatch):
    with serve({Book: PlainBookAdmin}) as site:
        user = make_user(EVERYTHING)
        assert "price" in offer(site, user)[1]
        model_admin = site.get_model_admin(Book)
        monkeypatch.setattr(model_admin, "get_fields", lambda request, obj=None: ["price"])
        assert "price" not in offer(site, user)[1]


@pytest.mark.parametrize("kind", [HidingRows, HidingList])
def test_an_admin_that_keeps_rows_back_shows_nothing_of_related_ones(kind):
    assert list_offered({Author: type("Own", (kind,), {})}) == set()


def test_rows_that_a_default_manager_keeps_back_are_not_offered(monkeypatch):
    rows = Author.objects.exclude(name="")
    monkeypatch.setattr(Author._default_manager, "get_queryset", rows.all, raising=False)
    assert list_offered({Author: ModelAdmin}) == set()


def test_pages_of_rows_of_another_database_show_none_of_these():
    def get_queryset(self, request):
        return Author.objects.using("other")

    own = type("Own", (ModelAdmin,), {"get_queryset": get_queryset})
    assert list_offered({Author: own}) == set()


@isolate_apps("testapp")
@pytest.mark.parametrize(
    ("registered", "is_offered"),
    [
        ({}, False),
        ({Author: ModelAdmin}, True),
        ({Author: type("Own", (ModelAdmin,), {"fields": ["name"]})}, False),
    ],
)
def test_a_key_that_is_a_value_of_another_row_is_offered_where_that_is(
    admin_user, registered, is_offered
):
    class Reply(models.Model):
        author = models.ForeignKey(Author, models.CASCADE, to_field="email", related_name="+")

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return str(self.pk)

    with serve({Reply: PlainBookAdmin, **registered}) as site:
        assert ("author" in offer(site, admin_user, Reply)[1]) is is_offered


def test_permissions_that_depend_on_the_row_hide_nothing_that_the_list_shows():
    own = type("Own", (HidingPermission, PlainBookAdmin), {"list_display": ["title"]})
    with serve({Book: own}) as site:
        assert set(offer(site, make_user(EVERYTHING))[1]) == {"id", "title"}


def test_who_may_change_some_rows_alone_is_known():
    def has_change_permission(self, request, obj=None):
        return obj is None

    own = type("Own", (PlainBookAdmin,), {"has_change_permission": has_change_permission})
    with serve({Book: own}) as site:
        # Everybody sees all rows, and what they can change of them is the same or less.
        assert "price" in offer(site, make_user(EVERYTHING))[1]


def test_an_annotation_that_nobody_shows_is_not_offered():
    own = type("Own", (PlainBookAdmin,), {"get_queryset": get_loud_rows})
    with serve({Book: own}) as site:
        user = make_user(EVERYTHING)
        assert "loud" not in offer(site, user)[1]
        own.list_display = [admin.display(ordering="-loud")(lambda book: book.loud)]
        assert "loud" in offer(site, user)[1]


def test_an_annotation_is_not_taken_for_what_a_relation_leads_to():
    def get_queryset(self, request):
        return Book.objects.annotate(author__email=F("title"))

    own = type("Own", (PlainBookAdmin,), {"get_queryset": get_queryset})
    with serve({Book: own, Author: ModelAdmin}) as site:
        columns = offer(site, make_user(EVERYTHING))[1]
    assert "author__name" in columns
    assert "author__email" not in columns


def test_a_path_in_the_list_is_offered_and_nothing_beside_it():
    kind = type("Own", (PlainBookAdmin,), {"list_display": ["author__passport__token"]})
    with serve({Book: kind}) as site:
        columns = offer(site, make_user(["view_book"]))[1]
    assert {name for name in columns if "__" in name} == {"author__passport__token"}


@pytest.mark.parametrize("model", [Author, Passport])
def test_a_path_in_the_list_ends_where_a_base_manager_may_hide_the_row(monkeypatch, model):
    kind = type("Own", (PlainBookAdmin,), {"list_display": ["author__passport__token"]})
    rows = model._base_manager.exclude(pk=1)
    monkeypatch.setattr(model._base_manager, "get_queryset", rows.all, raising=False)
    with serve({Book: kind}) as site:
        assert not any("__" in name for name in offer(site, make_user(["view_book"]))[1])


def test_an_admin_of_another_model_that_cannot_be_asked_is_no_hindrance():
    def has_view_permission(self, request, obj=None):
        return request.tenant.is_open

    own = type("Own", (ModelAdmin,), {"has_view_permission": has_view_permission})
    own.export_same_for_all_rows = True
    assert list_offered({Author: ModelAdmin, Publisher: own}, "author__publisher__") == set()


# Once for each model


def count_calls(names, calls):
    """Return the class of an admin that counts the calls of its methods by model."""

    def make(name):
        def method(self, *args, **kwargs):
            calls.append((name, self.model))
            return getattr(super(kind, self), name)(*args, **kwargs)

        return method

    attrs = {name: make(name) for name in names} | {"export_same_for_all_rows": True}
    kind = type("Own", (PlainBookAdmin,), attrs)
    return kind


def test_each_model_is_looked_at_once_however_many_ways_lead_there(settings):
    calls = []
    kind = count_calls(["get_fieldsets", "get_list_display", "get_queryset"], calls)
    # No relation of letters leads to profiles.
    registered = dict.fromkeys((Letter, Author, Publisher, Passport, Profile), kind)
    settings.EXPORTER_ADMIN_RELATED_DEPTH = 5
    with serve(registered) as site:
        request = RequestFactory().get("/")
        request.user = make_user([*EVERYTHING, "view_letter"])
        listing = Listing(site.get_model_admin(Letter), request)
        calls.clear()
        groups = list_groups(listing, Letter.objects.all())
    assert [group.path for group in groups if group.path.endswith("publisher__")] == [
        "sender__publisher__",
        "receiver__publisher__",
    ]
    related = [(name, model) for name, model in calls if model is not Letter]
    assert len(related) == len(set(related))
    assert {model for _, model in related} == {Author, Publisher, Passport}


def test_what_is_offered_takes_no_query_for_each_model(settings, django_assert_num_queries):
    registered = dict.fromkeys((Letter, Author, Publisher, Passport), PlainBookAdmin)
    settings.EXPORTER_ADMIN_RELATED_DEPTH = 5
    with serve(registered) as site:
        request = RequestFactory().get("/")
        request.user = make_user([*EVERYTHING, "view_letter"])
        listing = Listing(site.get_model_admin(Letter), request)
        # Those of the user and of the user's groups.
        with django_assert_num_queries(2):
            list_groups(listing, Letter.objects.all())


class Counting(ModelAdmin):
    """Count the forms that are made to see what pages show."""

    actions = [export_selected]
    made = []

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        self.made.append(db_field)
        return super().formfield_for_dbfield(db_field, request, **kwargs)


@pytest.mark.parametrize(
    ("paths", "asked"),
    [
        (None, {Book, Author, Publisher, Passport}),
        (["title"], {Book}),
        (["title", "author__name"], {Book, Author}),
        (["author__publisher__name"], {Book, Author, Publisher}),
        (["author__passport__number"], {Book, Author, Passport}),
    ],
)
def test_pages_are_asked_once_and_only_for_the_columns_that_are_chosen(
    admin_user, monkeypatch, paths, asked
):
    monkeypatch.setattr(Counting, "made", [])
    with serve(dict.fromkeys([Book, Author, Publisher, Passport, Letter], Counting)) as site:
        request = RequestFactory().get("/")
        request.user = admin_user
        listing = Listing(site.get_model_admin(Book), request)
        columns = list_columns(list_groups(listing, listing.get_rows(), paths=paths))
        assert columns.keys() >= set(paths or ())
    assert {field.model for field in Counting.made} == asked
    assert len(Counting.made) == len(set(Counting.made))
