from __future__ import annotations

import pytest
from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Count, F, Prefetch
from django.db.models.functions import Lower
from django.test.utils import isolate_apps
from django.urls import path
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ModelViewSet

from django_infra.api.fields import FieldsBackend, PartialSerializerMixin
from django_infra.api.needs import Needs
from django_infra.api.pagination import KeysetPagination
from ids import make_id
from testapp.models import Author, Book, Comic, Note, Publisher

pytestmark = pytest.mark.django_db


class PublisherSerializer(serializers.ModelSerializer):
    class Meta:
        model = Publisher
        fields = ["id", "name"]


class EditorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ["id", "name", "email"]


class AuthorSerializer(serializers.ModelSerializer):
    publisher = PublisherSerializer()
    initial = serializers.SerializerMethodField()

    class Meta:
        model = Author
        fields = ["id", "name", "publisher", "initial"]
        requires = {"initial": ["name"]}

    def get_initial(self, author):
        return author.name[:1]


class SalesSerializer(serializers.Serializer):
    pages = serializers.IntegerField()
    cost = serializers.DecimalField(source="price", max_digits=8, decimal_places=2)
    blurb = serializers.SerializerMethodField()

    class Meta:
        requires = {"blurb": ["title", "author__publisher__name"]}

    def get_blurb(self, book):
        return f"{book.title} ({book.author.publisher and book.author.publisher.name})"


class BookSerializer(PartialSerializerMixin, serializers.ModelSerializer):
    author = AuthorSerializer()
    author_name = serializers.CharField(source="author.name")
    author_key = serializers.PrimaryKeyRelatedField(source="author", read_only=True)
    editors = EditorSerializer(many=True)
    editor_names = serializers.SlugRelatedField("name", source="editors", many=True, read_only=True)
    sales = SalesSerializer(source="*")
    guess = serializers.SerializerMethodField()
    secret = serializers.CharField(write_only=True, required=False)

    class Meta:
        model = Book
        fields = [
            "id",
            "title",
            "author",
            "author_name",
            "author_key",
            "editors",
            "editor_names",
            "sales",
            "guess",
            "data",
            "secret",
        ]

    def get_guess(self, book):
        return f"{book.title} {book.pages}"


class BookView(ModelViewSet):
    queryset = Book.objects.order_by("-pages")
    serializer_class = BookSerializer
    authentication_classes = ()
    permission_classes = ()
    filter_backends = (FieldsBackend,)


class WholeBookView(BookView):
    filter_backends = ()


@pytest.fixture
def books(monkeypatch):
    for model in (Author, Book):
        monkeypatch.setattr(model._meta, "ordering", ["id"])
    publisher = Publisher.objects.create(name="Insel")
    authors = [
        Author.objects.create(name="Ann", publisher=publisher, email="a@example.org"),
        Author.objects.create(name="Bob"),
    ]
    for number in range(6):
        book = Book.objects.create(
            title=f"Book {number}", author=authors[number % 2], pages=number, price=number
        )
        book.editors.set(authors)


def get(query="", view=BookView, method="get", pk=None, **attributes):
    actions = {"get": "retrieve" if pk else "list", "post": "create", "put": "update"}
    request = getattr(APIRequestFactory(), method)("/", query_params={"fields": query})
    response = view.as_view(actions, **attributes)(request, pk=pk)
    return response.render()


def strip(row, selection):
    """Keep of a whole row what a selection names."""
    if row is None:
        return None
    if isinstance(row, list):
        return [strip(each, selection) for each in row]
    return {
        name: row[name] if inside is None else strip(row[name], inside)
        for name, inside in selection.items()
    }


@pytest.mark.parametrize(
    ("query", "selection", "queries"),
    [
        ("id", {"id": None}, 1),
        (" id ,\ttitle\n", {"id": None, "title": None}, 1),
        ("author_name", {"author_name": None}, 1),
        ("author_key", {"author_key": None}, 1),
        ("author", {"author": None}, 1),
        ("author ( name , publisher )", {"author": {"name": None, "publisher": None}}, 1),
        ("author(publisher(name))", {"author": {"publisher": {"name": None}}}, 1),
        ("author(id),author(name)", {"author": {"id": None, "name": None}}, 1),
        ("author,author(name)", {"author": None}, 1),
        ("author(name),author", {"author": None}, 1),
        ("author(initial)", {"author": {"initial": None}}, 1),
        ("sales", {"sales": None}, 1),
        ("sales(cost)", {"sales": {"cost": None}}, 1),
        ("sales(blurb)", {"sales": {"blurb": None}}, 1),
        ("guess", {"guess": None}, 1),
        ("editors", {"editors": None}, 2),
        ("editors(name)", {"editors": {"name": None}}, 2),
        ("editor_names", {"editor_names": None}, 2),
        ("data,title", {"title": None, "data": None}, 1),
        ("editors(id),editor_names,author", None, 2),
        ("", None, 2),
        (" ", None, 2),
    ],
)
def test_shows_and_loads_what_is_asked_for(
    books, django_assert_num_queries, query, selection, queries
):
    whole = get(view=WholeBookView).data
    with django_assert_num_queries(queries):
        response = get(query)
    assert response.status_code == 200
    if selection is not None:
        assert response.data == strip(whole, selection)
    elif not query.strip():
        assert response.data == whole
    assert list(response.data[0]) == [n for n in whole[0] if n in response.data[0]]


def test_parameters_may_be_repeated(books):
    request = APIRequestFactory().get("/?fields=id&fields=&fields=author(name)&fields=author(id)")
    row = BookView.as_view({"get": "list"})(request).data[0]
    assert list(row) == ["id", "author"]
    assert list(row["author"]) == ["id", "name"]


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("x", ["Unknown: 'x'. Allowed: id, title, author, author_name, author_key, editors"]),
        ("id,x,y", ["Unknown: 'x', 'y'. Allowed: id"]),
        ("ID", ["Unknown: 'ID'."]),
        ("secret", ["Unknown: 'secret'."]),
        ("author.name", ["Unknown: 'author.name'."]),
        ("author__name", ["Unknown: 'author__name'."]),
        ("author(x)", ["Unknown: 'author.x'. Allowed in 'author': id, name, publisher, initial."]),
        (
            "x,author(publisher(y)),editors(z)",
            [
                "Unknown: 'x'.",
                "Unknown: 'author.publisher.y'. Allowed in 'author.publisher': id, name.",
                "Unknown: 'editors.z'. Allowed in 'editors': id, name, email.",
            ],
        ),
        ("id(x)", ["'id' has no fields inside."]),
        ("editor_names(x)", ["'editor_names' has no fields inside."]),
        ("author()", ["Expected a name and not ')'."]),
        ("author(", ["Expected a name and not the end."]),
        ("author(name", ["Expected ')' after the names in '('."]),
        ("author(name))", ["Expected ',' and not ')'."]),
        ("id,", ["Expected a name and not the end."]),
        (",id", ["Expected a name and not ','."]),
        ("id title", ["Expected ',' and not 'title'."]),
        ("(id)", ["Expected a name and not '('."]),
        ("author(name)(id)", ["Expected ',' and not '('."]),
        ("author(" * 11 + "id" + ")" * 11, ["More than 10 levels."]),
        ("(" * 2000, ["Expected a name and not '('."]),
        ("id," * 700, ["More than 2000 characters."]),
        ("x" * 1500, [f"Unknown: '{'x' * 99}…. Allowed: id"]),
        ("\0", ["Unknown: '\\x00'."]),
    ],
    ids=lambda value: ascii(value)[:40],
)
@pytest.mark.parametrize("key", [None, 1])
def test_refuses_before_any_query(django_assert_num_queries, query, faults, key):
    with django_assert_num_queries(0):
        response = get(query, pk=key)
    assert response.status_code == 400
    assert list(response.data) == ["fields"]
    assert len(response.data["fields"]) == len(faults)
    for message, fault in zip(response.data["fields"], faults, strict=True):
        assert message.startswith(fault)


def test_nothing_naughty_is_a_server_error(books, naughty_strings):
    for text in naughty_strings:
        assert get(text).status_code in (200, 400), ascii(text)
        assert get(f"author({text})").status_code in (200, 400), ascii(text)


@pytest.mark.parametrize(("query", "names"), [("id,title", ["id", "title"]), ("", None)])
def test_one_object_is_shown_in_part(books, django_assert_num_queries, query, names):
    key = Book.objects.first().pk
    with django_assert_num_queries(1 if names else 2):
        response = get(query, pk=key)
    assert response.data["id"] == key
    assert names is None or list(response.data) == names


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("id", {"id", "pages"}),
        ("title", {"id", "title", "pages"}),
        ("author_key", {"id", "author_id", "pages"}),
        ("sales(cost)", {"id", "price", "pages"}),
        ("guess", {each.attname for each in Book._meta.concrete_fields}),
    ],
)
def test_columns_that_are_not_needed_are_not_loaded(books, query, columns):
    for book in load(query):
        assert set(vars(book)) - {"_state"} == columns


def load(query, queryset=None, serializer_class=BookSerializer, required_fields=(), method="get"):
    """Return the rows that a view would give to its paginator."""
    view = GenericAPIView(serializer_class=serializer_class, format_kwarg=None)
    view.required_fields = required_fields
    request = getattr(APIRequestFactory(), method)("/", query_params={"fields": query})
    view.request = view.initialize_request(request)
    queryset = Book.objects.order_by("-pages") if queryset is None else queryset
    return FieldsBackend().filter_queryset(view.request, queryset, view)


@pytest.mark.parametrize(
    ("order", "columns"),
    [
        (["title"], {"title"}),
        (["-title", "price"], {"title", "price"}),
        ([F("title").desc(nulls_last=True)], {"title"}),
        ([Lower("title"), F("price") + F("pages")], {"title", "price", "pages"}),
        (["author"], {"author_id"}),
        (["author__name"], {"author_id"}),
        (["pk"], set()),
        (["count"], set()),
        (["?"], set()),
        (["editors"], set()),
        (["data__key"], {"data"}),
        ([], {"published_at"}),
    ],
    ids=make_id,
)
def test_columns_of_the_order_are_loaded(monkeypatch, books, order, columns):
    monkeypatch.setattr(Book._meta, "ordering", ["-published_at"])
    queryset = Book.objects.annotate(count=Count("editors"))
    rows = load("id", queryset.order_by(*order) if order else Book.objects.all())
    loaded = set(vars(rows[0])) - {"_state", "count"}
    assert loaded == {"id", *columns}


def test_paths_that_the_view_reads_are_loaded(books, django_assert_num_queries):
    with django_assert_num_queries(2):
        for book in load("id", required_fields=["price", "author__name", "editors__email"]):
            assert book.price is not None
            assert book.author.name
            assert [editor.email for editor in book.editors.all()]


def test_what_changes_a_row_may_read_all_of_it(books):
    book = Book.objects.first()
    assert vars(load("id", method="put").first()).keys() == vars(book).keys()
    response = get("nothing", method="put", pk=book.pk)
    assert response.status_code == 400
    assert list(response.data) == ["fields"]


def test_a_serializer_with_data_is_whole():
    serializer = BookSerializer(data={"title": "x"}, context={"request": make_request("id")})
    assert "title" in serializer.fields
    assert not serializer.is_valid()
    assert "author" in serializer.errors
    serializer = BookSerializer(Book(), data={}, context={"request": make_request("id")})
    assert "title" in serializer.fields


def make_request(query):
    return APIRequestFactory().get("/", {"fields": query})


def test_what_an_action_answers_is_shown_in_part(books):
    book = Book.objects.first()
    context = {"request": make_request("id,author(name)")}
    assert BookSerializer(book, context=context).data == {
        "id": book.id,
        "author": {"name": book.author.name},
    }
    assert BookSerializer([book], many=True, context=context).data[0].keys() == {"id", "author"}
    assert "title" in BookSerializer(book).data
    BookSerializer(context=context).check_fields()
    with pytest.raises(serializers.ValidationError, match="Unknown: 'x'"):
        BookSerializer(context={"request": make_request("x")}).check_fields()


def test_a_serializer_within_another_is_pruned_by_that(books):
    class ShelfSerializer(PartialSerializerMixin):
        best = BookSerializer(source="*")

    context = {"request": make_request("best(id)")}
    book = Book.objects.first()
    assert ShelfSerializer(book, context=context).data == {"best": {"id": book.id}}


def test_a_serializer_without_the_mixin_is_whole_and_its_queryset_narrow(
    books, django_assert_num_queries
):
    with django_assert_num_queries(1):
        rows = load("x", Book.objects.all(), PagesSerializer)
        assert PagesSerializer(rows, many=True).data[0].keys() == {"pages"}
    assert vars(rows[0]).keys() == {"_state", "id", "pages"}


class PagesSerializer(serializers.Serializer):
    pages = serializers.IntegerField()


# What the view has chosen itself

ONLY_ANN = Author.objects.filter(name="Ann")


@pytest.mark.parametrize(
    ("lookups", "query", "queries", "names"),
    [
        ([Prefetch("editors", ONLY_ANN)], "editors", 2, ["Ann"]),
        ([Prefetch("editors", ONLY_ANN)], "editors(name)", 2, ["Ann"]),
        ([Prefetch("editors", ONLY_ANN)], "id", 1, None),
        ([Prefetch("editors", ONLY_ANN)], "guess,editors", 2, ["Ann"]),
        ([Prefetch("editors", ONLY_ANN)], "guess", 2, None),
        (["editors"], "id", 1, None),
        (["editors"], "editors(name)", 2, ["Ann", "Bob"]),
        (["editors__publisher"], "editors(name)", 2, ["Ann", "Bob"]),
        (["editors__publisher"], "guess", 3, None),
        ([Prefetch("editors__publisher", Publisher.objects.all())], "editors", 2, ["Ann", "Bob"]),
    ],
)
def test_prefetches_of_the_view_are_kept_or_dropped(
    books, django_assert_num_queries, lookups, query, queries, names
):
    queryset = Book.objects.prefetch_related(*lookups)
    with django_assert_num_queries(queries):
        rows = get(query, queryset=queryset).data
    for row in rows if names else ():
        assert [editor["name"] for editor in row["editors"]] == names


def test_a_foreign_key_that_the_view_prefetches_is_kept(books, django_assert_num_queries):
    queryset = Book.objects.prefetch_related(
        Prefetch("author", Author.objects.select_related("publisher"))
    )
    with django_assert_num_queries(2):
        assert get("author", queryset=queryset).data[0]["author"]["name"] == "Ann"
    with django_assert_num_queries(1):
        get("id,author_key", queryset=queryset)


def test_prefetches_by_name_are_narrowed(books):
    for lookups in (["editors"], ["editors", "editors__publisher"]):
        rows = load("editors(name)", Book.objects.prefetch_related(*lookups))
        assert "email" not in vars(rows[0].editors.all()[0])


def test_what_is_shown_inside_a_prefetch_of_the_view_is_loaded(books, django_assert_num_queries):
    deep = make(Author, publisher=PublisherSerializer(), books=make(Book, "title")(many=True))
    serializer_class = make(Book, editors=deep(many=True))
    queryset = Book.objects.prefetch_related(Prefetch("editors", ONLY_ANN))
    rows = serialize(serializer_class, queryset, django_assert_num_queries, 4)
    assert [editor.name for editor in rows[0].editors.all()] == ["Ann"]


def test_a_foreign_key_in_an_attribute_keeps_its_column(books, django_assert_num_queries):
    queryset = Book.objects.prefetch_related(Prefetch("author", to_attr="writer"))
    serializer_class = make(Book, writer=EditorSerializer())
    rows = serialize(serializer_class, queryset, django_assert_num_queries, 2)
    assert vars(rows[0]).keys() == {"_state", "id", "author_id", "writer"} | (
        vars(rows[0]).keys() & {"_prefetched_objects_cache"}
    )


class ChosenSerializer(PartialSerializerMixin, serializers.ModelSerializer):
    chosen = EditorSerializer(many=True)
    count = serializers.IntegerField()

    class Meta:
        model = Book
        fields = ["id", "chosen", "count"]


def test_attributes_that_the_queryset_gives_are_kept(books, django_assert_num_queries):
    chosen = Prefetch("editors", ONLY_ANN, to_attr="chosen")
    queryset = Book.objects.prefetch_related(chosen).annotate(count=Count("editors"))
    for query, queries in [("chosen,count", 2), ("count", 1), ("id", 1), ("", 2)]:
        with django_assert_num_queries(queries):
            rows = load(query, queryset, ChosenSerializer)
            context = {"request": make_request(query)}
            data = ChosenSerializer(rows, many=True, context=context).data
        assert "title" not in vars(rows[0])
        if queries == 2:
            assert [editor["name"] for editor in data[0]["chosen"]] == ["Ann"]


def test_joins_of_the_view_stay_where_needs_are_unknown(books, django_assert_num_queries):
    class TellingSerializer(PartialSerializerMixin, serializers.ModelSerializer):
        told = serializers.SerializerMethodField()
        author = serializers.CharField(source="author.publisher.authors_name", default="")

        class Meta:
            model = Book
            fields = ["id", "told", "author"]

        def get_told(self, book):
            return str(book.author.publisher)

    queryset = Book.objects.select_related("author__publisher")
    for query in ("told", "told,author", ""):
        with django_assert_num_queries(1):
            rows = load(query, queryset, TellingSerializer)
            assert TellingSerializer(rows, many=True).data[0]["told"] == "Insel"
    assert "JOIN" not in str(load("id", queryset, TellingSerializer).query)


def test_columns_that_the_view_has_left_out_are_loaded_if_asked_for(
    books, django_assert_num_queries
):
    for queryset in (Book.objects.defer("title"), Book.objects.only("pages")):
        with django_assert_num_queries(1):
            assert get("title,author_name", queryset=queryset).status_code == 200
    assert get("guess,author_name", queryset=Book.objects.only("title")).status_code == 200
    rows = load("guess", Book.objects.defer("data"))
    assert "data" not in vars(rows[0])


@pytest.mark.filterwarnings("ignore:Calling select_related")
@pytest.mark.parametrize(
    "queryset",
    [
        lambda: Book.objects.values("id", "title"),
        lambda: Book.objects.order_by("id").union(Book.objects.filter(pages__gt=99)),
        lambda: Book.objects.all()[:2],
        lambda: Book.objects.select_related(),
        lambda: Book.objects.extra(order_by=["title"]),
        lambda: list(Book.objects.all()),
        lambda: Book.objects.select_for_update(),
    ],
)
def test_other_querysets_are_left_as_they_are(books, queryset):
    queryset = queryset()
    assert load("id", queryset) is queryset


# Where the needs of a field come from


CONTEXT = {"request": APIRequestFactory().get("/")}


def serialize(serializer_class, queryset, django_assert_num_queries, queries):
    """Serialize narrow rows, and compare with what whole ones give."""
    queryset = queryset.order_by("pk")
    expected = serializer_class(queryset.all(), many=True, context=CONTEXT).data
    with django_assert_num_queries(queries):
        rows = load("", queryset, serializer_class)
        data = serializer_class(rows, many=True, context=CONTEXT).data
    assert data == expected
    assert data
    return rows


def make(model, *names, **fields):
    """Make a serializer of one or more fields."""
    meta = type("Meta", (), {"model": model, "fields": [*names, *fields]})
    return type("MadeSerializer", (serializers.ModelSerializer,), {**fields, "Meta": meta})


READ = {"read_only": True}


@pytest.mark.parametrize(
    ("field", "queries", "columns"),
    [
        (serializers.PrimaryKeyRelatedField(**READ, source="author"), 1, {"author_id"}),
        (serializers.SlugRelatedField("name", **READ, source="author"), 1, {"author_id"}),
        (serializers.StringRelatedField(source="author"), 1, {"author_id"}),
        (serializers.CharField(source="author"), 1, {"author_id"}),
        (serializers.IntegerField(source="author_id"), 1, {"author_id"}),
        (serializers.IntegerField(source="author.pk"), 1, {"author_id"}),
        (serializers.CharField(source="author.publisher.name", default=""), 1, {"author_id"}),
        (serializers.CharField(source="published_at.year", default=""), 1, {"published_at"}),
        (serializers.CharField(source="data.key", default=None), 1, {"data"}),
        (serializers.IntegerField(source="pk"), 1, set()),
        (serializers.CharField(source="__str__"), 1, None),
        (serializers.IntegerField(source="editors.count"), 7, None),
        (serializers.SlugRelatedField("name", **READ, source="editors", many=True), 2, set()),
        (serializers.PrimaryKeyRelatedField(**READ, source="editors", many=True), 2, set()),
        (serializers.StringRelatedField(source="editors", many=True), 2, set()),
        (EditorSerializer(source="author"), 1, {"author_id"}),
        (EditorSerializer(source="editors", many=True), 2, set()),
        (serializers.SerializerMethodField("get_x"), 1, None),
    ],
    ids=lambda value: getattr(value, "source", None) or type(value).__name__,
)
def test_needs_of_fields(books, django_assert_num_queries, field, queries, columns):
    serializer_class = make(Book, x=field)
    serializer_class.get_x = lambda self, book: book.title
    queryset = Book.objects.order_by("pk")
    rows = serialize(serializer_class, queryset, django_assert_num_queries, queries)
    every = {each.attname for each in Book._meta.concrete_fields}
    loaded = set(vars(rows[0])) & every
    assert loaded == (every if columns is None else {"id", *columns})


def test_rows_that_point_here_are_loaded_with_their_tie(books, django_assert_num_queries):
    titles = make(Book, title=serializers.CharField())
    authors = make(Author, books=titles(many=True))
    rows = serialize(authors, Author.objects.all(), django_assert_num_queries, 2)
    assert vars(rows[0].books.all()[0]).keys() >= {"title", "author_id"}
    assert "pages" not in vars(rows[0].books.all()[0])


def test_relations_of_relations_are_one_query_each(books, django_assert_num_queries):
    titles = make(Book, title=serializers.CharField())
    edited = make(Author, edited_books=make(Book, author=AuthorSerializer())(many=True))
    serialize(edited, Author.objects.all(), django_assert_num_queries, 2)
    books = make(Book, editors=EditorSerializer(many=True))
    publishers = make(Publisher, authors=make(Author, books=books(many=True))(many=True))
    serialize(publishers, Publisher.objects.all(), django_assert_num_queries, 4)
    through = make(Book, author=make(Author, edited_books=titles(many=True))())
    serialize(through, Book.objects.all(), django_assert_num_queries, 2)


def test_parents_and_children_of_models(books, django_assert_num_queries):
    author = Author.objects.get(name="Ann")
    for number in range(3):
        Comic.objects.create(title=str(number), author=author, artist="Zoe").editors.add(author)
    fields = {"title": serializers.CharField(), "artist": serializers.CharField()}
    comics = make(Comic, **fields, author=EditorSerializer(), editors=EditorSerializer(many=True))
    rows = serialize(comics, Comic.objects.all(), django_assert_num_queries, 2)
    assert "pages" not in vars(rows[0])
    parents = make(Book, comic=make(Comic, artist=serializers.CharField())())
    books = Book.objects.filter(comic__isnull=False)
    rows = serialize(parents, books, django_assert_num_queries, 1)
    assert "title" not in vars(rows[0])


urlpatterns = [path("authors/<pk>/", BookView.as_view({"get": "list"}), name="author-detail")]
urlpatterns += [path("books/<title>/", BookView.as_view({"get": "list"}), name="book-detail")]
BY_TITLE = {"view_name": "book-detail", "lookup_field": "title", "read_only": True}
BY_KEY = {"view_name": "author-detail", "read_only": True}


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("model", "field", "queries", "columns"),
    [
        (Author, serializers.HyperlinkedIdentityField("author-detail"), 1, {"id"}),
        (Book, serializers.HyperlinkedIdentityField(**BY_TITLE), 1, {"id", "title"}),
        (Book, serializers.HyperlinkedRelatedField(**BY_KEY, source="author"), 1, {"author_id"}),
        (Author, serializers.HyperlinkedRelatedField(**BY_TITLE, source="books", many=True), 2, {}),
    ],
    ids=["identity", "identity by title", "foreign key", "to many"],
)
def test_links_need_what_is_in_them(
    books, django_assert_num_queries, model, field, queries, columns
):
    rows = serialize(make(model, x=field), model.objects.all(), django_assert_num_queries, queries)
    loaded = set(vars(rows[0])) - {"_state", "_prefetched_objects_cache"}
    assert loaded == {"id", *columns}
    if queries == 2:
        assert "pages" not in vars(rows[0].books.all()[0])


@isolate_apps("testapp")
def test_an_image_is_loaded_with_its_size():
    class Photo(models.Model):
        image = models.ImageField(width_field="width", height_field="height")
        width = models.IntegerField()
        height = models.IntegerField()
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return self.name

    needs = Needs(Photo)
    needs.add_path("image")
    assert needs.get_columns() == {"id", "image", "width", "height"}


@isolate_apps("testapp", "django.contrib.contenttypes")
def test_a_relation_goes_by_the_columns_that_it_names():
    class Tag(models.Model):
        code = models.CharField(max_length=9, unique=True)
        name = models.CharField(max_length=9)

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return self.name

    class Page(models.Model):
        slug = models.CharField(max_length=9, unique=True)
        tags = models.ManyToManyField(Tag, through="Tagging", related_name="pages")
        notes = GenericRelation(ContentType)

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return self.slug

    class Tagging(models.Model):
        tag = models.ForeignKey(Tag, models.CASCADE, to_field="code")
        page = models.ForeignKey(Page, models.CASCADE, to_field="slug", related_name="taggings")

        class Meta:
            app_label = "testapp"

        def __str__(self):
            return str(self.pk)

    for lookup, here, there in [
        ("tags__name", {"id", "slug"}, {"id", "code", "name"}),
        ("taggings__id", {"id", "slug"}, {"id", "page_id"}),
    ]:
        needs = Needs(Page)
        needs.add_path(lookup)
        assert needs.get_columns() == here
        assert next(needs.get_related()).get_columns() == there
    needs = Needs(Tag)
    needs.add_path("pages__pk")
    assert needs.get_columns() == {"id", "code"}
    assert next(needs.get_related()).get_columns() == {"id", "slug"}
    needs = Needs(Page)
    needs.add_path("notes__id")
    assert needs.whole
    assert next(needs.get_related()).whole


def test_a_missing_relation_is_no_query(books, django_assert_num_queries):
    serializer_class = make(Author, publisher=PublisherSerializer(), born=serializers.DateField())
    rows = serialize(serializer_class, Author.objects.all(), django_assert_num_queries, 1)
    assert "name" not in vars(rows[0])


class ReadingField(serializers.CharField):
    def get_attribute(self, book):
        return book.title


class ReadingSerializer(EditorSerializer):
    def to_representation(self, author):
        return {"email": author.email, "publisher": author.publisher_id}


class ReadingListSerializer(serializers.ListSerializer):
    def to_representation(self, authors):
        return [author.email for author in authors.all()]


class ListedSerializer(EditorSerializer):
    class Meta(EditorSerializer.Meta):
        fields = ["name"]
        list_serializer_class = ReadingListSerializer


class ReadingRelation(serializers.SlugRelatedField):
    def to_representation(self, author):
        return author.email


@pytest.mark.parametrize(
    ("field", "queries"),
    [
        (ReadingField(source="pages"), 1),
        (ReadingSerializer(source="author"), 1),
        (ReadingSerializer(source="editors", many=True), 2),
        (ListedSerializer(source="editors", many=True), 2),
        (ReadingRelation("name", source="author", read_only=True), 1),
        (ReadingRelation("name", source="editors", read_only=True, many=True), 2),
    ],
)
def test_code_that_reads_what_it_likes_finds_it(books, django_assert_num_queries, field, queries):
    serialize(make(Book, x=field), Book.objects.all(), django_assert_num_queries, queries)


def test_needs_of_a_whole_serializer_are_told_by_a_star(books, django_assert_num_queries):
    class TellingSerializer(ReadingSerializer):
        class Meta(EditorSerializer.Meta):
            fields = ["id"]
            requires = {"*": ["email", "publisher_id"]}

    rows = serialize(
        make(Book, author=TellingSerializer()), Book.objects.all(), django_assert_num_queries, 1
    )
    assert "name" not in vars(rows[0].author)


def test_a_path_that_is_none_is_a_mistake_of_the_developer():
    class WrongSerializer(PagesSerializer):
        class Meta:
            requires = {"pages": ["author__nom"]}

    with pytest.raises(ImproperlyConfigured, match=r"testapp\.Author has no field 'nom'"):
        load("", Book.objects.all(), WrongSerializer)


def test_a_relation_that_is_required_is_loaded_whole(books, django_assert_num_queries):
    class RelatedSerializer(serializers.ModelSerializer):
        text = serializers.SerializerMethodField()

        class Meta:
            model = Book
            fields = ["text"]
            requires = {"text": ["author", "editors__name", "editors__publisher", "title"]}

        def get_text(self, book):
            editors = [f"{each.name} {each.publisher}" for each in book.editors.all()]
            return f"{book.title} {book.author.email} {editors}"

    rows = serialize(RelatedSerializer, Book.objects.all(), django_assert_num_queries, 2)
    assert "pages" not in vars(rows[0])


def test_a_generic_relation_reads_the_row_whole(books, django_assert_num_queries):
    book = Book.objects.first()
    Note.objects.create(text="x", content_object=book)
    notes = make(
        Note,
        text=serializers.CharField(),
        owner=serializers.CharField(source="content_object.title"),
    )
    rows = serialize(notes, Note.objects.all(), django_assert_num_queries, 2)
    assert "object_id" in vars(rows[0])


def test_pages_of_narrow_rows_are_one_query(books, django_assert_num_queries):
    view = type("PagedView", (BookView,), {"pagination_class": KeysetPagination})
    queryset = Book.objects.order_by(F("price").desc(nulls_last=True), "author__name")
    with django_assert_num_queries(1):
        response = get("title", view=view, queryset=queryset)
    assert len(response.data["results"]) == 6
