from __future__ import annotations

import datetime
from contextlib import suppress

import pytest
from django.core.exceptions import FieldError
from django.core.files.base import ContentFile
from django.db import DatabaseError, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat, Upper
from django.db.models.signals import post_save, pre_save
from django.test.utils import isolate_apps

from django_infra.db.models import InvalidUpdate, UpdatableModel
from testapp.models import Author, Profile, SpecialProfile
from testapp.routers import ReplicaRouter

pytestmark = pytest.mark.django_db

LONG_AGO = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


@pytest.fixture
def profile():
    return Profile.objects.create(name="Ada", tags=["math"])


@pytest.fixture
def signals():
    """Collect what is sent while a Profile is saved."""
    sent = []

    def receive(signal, update_fields, **kwargs):
        sent.append((signal, update_fields))

    for signal in (pre_save, post_save):
        signal.connect(receive, sender=Profile)
    yield sent
    for signal in (pre_save, post_save):
        signal.disconnect(receive, sender=Profile)


def read(profile, *names, using="default"):
    row = type(profile).objects.using(using).filter(pk=profile.pk).values_list(*names).get()
    return row[0] if len(names) == 1 else row


def backdate(profile):
    type(profile).objects.filter(pk=profile.pk).update(changed_at=LONG_AGO)
    profile.refresh_from_db()


# What is set and saved


def test_sets_and_saves_the_named_fields(profile):
    assert profile.update(name="Grace", visits=3) is True
    assert (profile.name, profile.visits) == ("Grace", 3)
    assert read(profile, "name", "visits") == ("Grace", 3)


def test_leaves_other_fields_to_other_writers(profile):
    Profile.objects.filter(pk=profile.pk).update(nickname="Countess")
    profile.nickname = "not saved"
    profile.update(name="Grace")
    assert read(profile, "name", "nickname") == ("Grace", "Countess")


def test_takes_one_query(profile, django_assert_num_queries):
    with django_assert_num_queries(1):
        profile.update(name="Grace", visits=1, nickname="G", tags=[])


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_falsy_values_are_saved(profile, bypass_orm):
    profile.update(name="", tags=[], visits=0, author=None, bypass_orm=bypass_orm)
    assert read(profile, "name", "tags", "visits", "author") == ("", [], 0, None)


def test_auto_now_is_saved_with_the_named_fields(profile):
    backdate(profile)
    profile.update(name="Grace")
    assert profile.changed_at > LONG_AGO
    assert read(profile, "changed_at") == profile.changed_at


def test_auto_now_add_stays(profile):
    created_at = read(profile, "created_at")
    profile.update(name="Grace")
    assert read(profile, "created_at") == created_at


def test_signals_name_the_saved_fields(profile, signals):
    profile.update(name="Grace")
    saved = frozenset({"name", "changed_at"})
    assert signals == [(pre_save, saved), (post_save, saved)]


@isolate_apps("testapp")
def test_a_field_may_be_called_fields():
    class Farm(UpdatableModel):
        fields = models.IntegerField()

        class Meta:
            app_label = "testapp"

    farm = Farm(fields=2)
    assert farm.update(fields=4, commit=False) is True
    assert farm.fields == 4


# Names that are refused


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nope", "unknown"),
        ("author__name", "unknown"),
        ("specialprofile", "unknown"),
        ("update", "unknown"),
        ("_state", "unknown"),
        ("id", "primary key"),
        ("pk", "primary key"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"commit": False}, {"bypass_orm": True}])
def test_refuses_a_name_before_touching_anything(
    profile, name, reason, options, django_assert_num_queries
):
    with (
        django_assert_num_queries(0),
        pytest.raises(InvalidUpdate, match=rf"'{name}' \({reason}\)") as caught,
    ):
        profile.update(nickname="G", **{name: 5}, visits=1, **options)
    assert (profile.nickname, profile.visits) == ("", 0)
    assert "author, author_id, changed_at, created_at, name, nickname" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FieldError)


def test_refuses_all_bad_names_at_once(profile):
    with pytest.raises(InvalidUpdate, match=r"'nope' \(unknown\), 'pk' \(primary key\)\."):
        profile.update(nope=1, name="G", pk=2)


def test_refuses_the_primary_key_even_with_its_own_value(profile):
    with pytest.raises(InvalidUpdate):
        profile.update(id=profile.pk)


@pytest.mark.parametrize("name", ["id", "pk", "profile_ptr", "profile_ptr_id"])
def test_refuses_each_primary_key_of_an_inherited_model(name):
    special = SpecialProfile.objects.create(name="Ada", title="Lady")
    with pytest.raises(InvalidUpdate, match=rf"'{name}' \(primary key\)"):
        special.update(title="Dame", **{name: 5})
    assert special.title == "Lady"


@isolate_apps("testapp")
def test_refuses_the_parts_of_a_composite_primary_key():
    class Page(UpdatableModel):
        pk = models.CompositePrimaryKey("author_id", "number")
        author = models.ForeignKey(Author, models.CASCADE)
        number = models.IntegerField()
        text = models.TextField()

        class Meta:
            app_label = "testapp"

    page = Page(author_id=1, number=2, text="a")
    for name in ("pk", "author", "author_id", "number"):
        with pytest.raises(InvalidUpdate, match=rf"'{name}' \(primary key\)"):
            page.update(text="b", **{name: 3}, commit=False)
    assert page.text == "a"
    assert page.update(text="b", commit=False)


@isolate_apps("testapp")
def test_refuses_a_generated_field():
    class Square(UpdatableModel):
        side = models.IntegerField()
        area = models.GeneratedField(
            expression=F("side") * F("side"),
            output_field=models.IntegerField(),
            db_persist=True,
        )

        class Meta:
            app_label = "testapp"

    with pytest.raises(InvalidUpdate, match=r"'area' \(generated\)"):
        Square(side=2).update(area=5, commit=False)


@isolate_apps("testapp")
def test_refuses_a_many_to_many_field():
    class Club(UpdatableModel):
        members = models.ManyToManyField(Author)

        class Meta:
            app_label = "testapp"

    with pytest.raises(InvalidUpdate, match=r"'members' \(unknown\)"):
        Club().update(members=[], commit=False)


# Nothing changed


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_equal_values_run_no_query(profile, signals, bypass_orm, django_assert_num_queries):
    backdate(profile)
    with django_assert_num_queries(0):
        assert profile.update(name="Ada", visits=0, bypass_orm=bypass_orm) is False
    assert signals == []
    assert read(profile, "changed_at") == LONG_AGO


def test_no_fields_run_no_query(profile, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert profile.update() is False


def test_one_changed_field_is_enough(profile):
    assert profile.update(name="Ada", visits=1) is True
    assert read(profile, "visits") == 1


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_a_list_changed_in_place_is_saved(profile, bypass_orm):
    profile.tags.append("poetry")
    assert profile.update(tags=profile.tags, bypass_orm=bypass_orm) is True
    assert read(profile, "tags") == ["math", "poetry"]


def test_a_nested_dict_changed_in_place_is_saved(profile):
    profile.update(tags={"a": {"b": [1]}})
    profile.tags["a"]["b"].append(2)
    assert profile.update(tags=profile.tags) is True
    assert read(profile, "tags") == {"a": {"b": [1, 2]}}


def test_a_list_within_a_tuple_changed_in_place_is_saved(profile):
    tags = ("a", [1])
    profile.update(tags=tags)
    tags[1].append(2)
    assert profile.update(tags=tags) is True
    assert read(profile, "tags") == ["a", [1, 2]]


@pytest.mark.parametrize(("old", "new"), [(True, 1), (0, False), (1, True)])
def test_a_number_is_not_a_json_boolean(profile, old, new):
    profile.update(tags=old)
    profile.refresh_from_db()
    profile.update(tags=new)
    assert read(profile, "tags") is new


def test_a_change_of_case_or_space_is_a_change(profile):
    assert profile.update(name="ada ") is True
    assert read(profile, "name") == "ada "


# Kinds of values


def test_an_expression_is_computed_by_the_database(profile):
    Profile.objects.filter(pk=profile.pk).update(visits=10)
    profile.update(visits=F("visits") + 1)
    assert profile.visits == 11


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_an_expression_is_applied_once(profile, bypass_orm):
    profile.update(visits=F("visits") + 1, bypass_orm=bypass_orm)
    profile.save()
    profile.update(nickname="A", bypass_orm=bypass_orm)
    assert read(profile, "visits") == 1


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_the_same_expression_counts_as_a_change_each_time(profile, bypass_orm):
    step = F("visits") + 1
    for expected in (1, 2):
        assert profile.update(visits=step, bypass_orm=bypass_orm) is True
        assert profile.visits == expected


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_expressions_and_values_go_together(profile, bypass_orm):
    profile.update(
        name=Concat(F("name"), Value(" L.")),
        nickname=Upper("name"),
        visits=7,
        bypass_orm=bypass_orm,
    )
    assert profile.visits == 7
    assert profile.name == "Ada L."
    # Whether NAME is read before or after it is set is up to the database.
    assert profile.nickname in {"ADA", "ADA L."}


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_foreign_key_by_object(profile, bypass_orm):
    author = Author.objects.create(name="Byron")
    profile.update(author=author, bypass_orm=bypass_orm)
    assert profile.author is author
    assert read(profile, "author_id") == author.pk


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_foreign_key_by_id_drops_the_old_object(profile, bypass_orm):
    byron, shelley = (Author.objects.create(name=name) for name in ("Byron", "Shelley"))
    profile.update(author=byron)
    profile.update(author_id=shelley.pk, bypass_orm=bypass_orm)
    assert profile.author == shelley
    assert read(profile, "author_id") == shelley.pk


def test_the_same_foreign_key_runs_no_query(profile, django_assert_num_queries):
    author = Author.objects.create(name="Byron")
    profile.update(author=author)
    with django_assert_num_queries(0):
        assert profile.update(author=author, author_id=author.pk) is False


def test_foreign_key_by_wrong_type_sets_nothing_in_the_row(profile):
    with pytest.raises(ValueError, match="must be a"):
        profile.update(author=object())
    assert read(profile, "author_id") is None


def test_a_new_file_is_put_into_storage(profile):
    profile.update(picture=ContentFile(b"png", name="ada.png"))
    name = read(profile, "picture")
    assert name == profile.picture.name == "ada.png"
    with profile.picture.open() as file:
        assert file.read() == b"png"


def test_a_file_saved_by_hand_can_be_recorded(profile):
    profile.picture.save("ada.png", ContentFile(b"png"), save=False)
    assert profile.update(picture=profile.picture) is True
    assert read(profile, "picture") == "ada.png"


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_a_file_by_name(profile, bypass_orm):
    profile.update(picture="elsewhere.png", bypass_orm=bypass_orm)
    assert read(profile, "picture") == profile.picture.name == "elsewhere.png"


def test_bypassing_names_no_file_that_is_not_in_storage(profile):
    with suppress(ValueError):
        profile.update(picture=ContentFile(b"png", name="ada.png"), bypass_orm=True)
    name = read(profile, "picture")
    assert not name or Profile._meta.get_field("picture").storage.exists(name)


# Deferred, inherited, unsaved and deleted instances


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_deferred_fields_are_set_without_being_read(profile, bypass_orm, django_assert_num_queries):
    deferred = Profile.objects.only("id").get()
    with django_assert_num_queries(1):
        assert deferred.update(visits=0, tags=[], bypass_orm=bypass_orm) is True
    assert read(profile, "name", "visits", "tags") == ("Ada", 0, [])


def test_deferred_fields_stay_deferred(profile):
    deferred = Profile.objects.only("id").get()
    deferred.update(visits=1)
    assert "name" in deferred.get_deferred_fields()


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_inherited_and_own_fields(bypass_orm):
    special = SpecialProfile.objects.create(name="Ada", title="Lady")
    special.update(name="Grace", bypass_orm=bypass_orm)
    special.update(title="Dame", bypass_orm=bypass_orm)
    special.update(nickname="G", title="Admiral", bypass_orm=bypass_orm)
    assert read(special, "name", "nickname", "title") == ("Grace", "G", "Admiral")


def test_auto_now_of_a_parent_is_saved():
    special = SpecialProfile.objects.create(name="Ada", title="Lady")
    backdate(special)
    special.update(title="Dame")
    assert read(special, "changed_at") > LONG_AGO


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_an_unsaved_instance_is_refused_before_anything_is_set(bypass_orm):
    unsaved = Profile(name="Ada")
    with pytest.raises(ValueError, match=r"Profile\.update\(\) needs a saved instance"):
        unsaved.update(name="Grace", bypass_orm=bypass_orm)
    assert unsaved.name == "Ada"
    assert not Profile.objects.exists()


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_a_row_that_is_gone_raises_database_error(profile, bypass_orm):
    Profile.objects.all().delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        profile.update(name="Grace", bypass_orm=bypass_orm)
    assert not Profile.objects.exists()


@pytest.mark.parametrize("bypass_orm", [False, True])
def test_a_deleted_instance_raises_database_error(profile, bypass_orm):
    profile.delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        profile.update(name="Grace", bypass_orm=bypass_orm)
    assert not Profile.objects.exists()


# commit=False


def test_without_commit_values_are_only_set(profile, signals, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert profile.update(name="Grace", visits=2, commit=False) is True
        assert profile.update(name="Grace", commit=False) is False
    assert signals == []
    assert (profile.name, profile.visits) == ("Grace", 2)
    assert read(profile, "name", "visits") == ("Ada", 0)


def test_without_commit_an_unsaved_instance_is_welcome():
    unsaved = Profile(name="Ada")
    assert unsaved.update(name="Grace", commit=False) is True
    unsaved.save()
    assert read(unsaved, "name") == "Grace"


def test_without_commit_an_expression_waits_for_save(profile):
    profile.update(visits=F("visits") + 1, commit=False)
    profile.save()
    assert read(profile, "visits") == 1


@pytest.mark.parametrize(
    ("field", "value", "expected"), [("name", "Grace", "Grace"), ("visits", F("visits") + 1, 1)]
)
def test_what_was_set_without_commit_is_saved_by_the_next_update(profile, field, value, expected):
    profile.update(**{field: value}, commit=False)
    assert profile.update(**{field: value}) is True
    assert read(profile, field) == expected


def test_bypassing_without_commit_is_refused(profile):
    with pytest.raises(ValueError, match="bypass_orm=True with commit=False"):
        profile.update(name="Grace", bypass_orm=True, commit=False)
    assert profile.name == "Ada"


# bypass_orm=True


def test_bypassing_sends_no_signals_and_leaves_auto_now(profile, signals):
    backdate(profile)
    profile.update(name="Grace", bypass_orm=True)
    assert signals == []
    assert read(profile, "name", "changed_at") == ("Grace", LONG_AGO)
    assert profile.name == "Grace"


def test_bypassing_leaves_other_fields_of_the_row(profile):
    Profile.objects.filter(pk=profile.pk).update(nickname="Countess", visits=9)
    profile.nickname = "not saved"
    profile.update(name="Grace", bypass_orm=True)
    assert read(profile, "name", "nickname", "visits") == ("Grace", "Countess", 9)


@isolate_apps("testapp")
def test_bypassing_calls_no_save(profile):
    class Guarded(Profile):
        class Meta:
            proxy = True
            app_label = "testapp"

        def save(self, *args, **kwargs):
            raise AssertionError("save() was called")

    Guarded.objects.get(pk=profile.pk).update(name="Grace", bypass_orm=True)
    assert read(profile, "name") == "Grace"


def test_bypassing_touches_one_row(profile):
    other = Profile.objects.create(name="Grace")
    profile.update(name="Alan", bypass_orm=True)
    assert read(other, "name") == "Grace"


def test_bypassing_writes_what_the_row_has_already(profile):
    """MySQL counts changed rows, not found ones, unless told otherwise."""
    Profile.objects.filter(pk=profile.pk).update(name="Grace")
    assert profile.update(name="Grace", bypass_orm=True) is True


# using="other"


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("bypass_orm", [False, True])
def test_using_names_the_database_to_write_to(profile, bypass_orm):
    Profile.objects.using("other").create(pk=profile.pk, name="Twin")
    profile.update(name="Grace", using="other", bypass_orm=bypass_orm)
    assert read(profile, "name", using="other") == "Grace"
    assert read(profile, "name") == "Ada"


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("bypass_orm", [False, True])
def test_an_expression_is_read_back_from_the_database_it_went_to(profile, bypass_orm):
    Profile.objects.using("other").create(pk=profile.pk, name="Twin", visits=10)
    profile.update(visits=F("visits") + 1, using="other", bypass_orm=bypass_orm)
    assert profile.visits == 11


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("bypass_orm", [False, True])
def test_a_row_that_is_only_elsewhere_raises_database_error(profile, bypass_orm):
    with pytest.raises(DatabaseError), transaction.atomic(using="other"):
        profile.update(name="Grace", using="other", bypass_orm=bypass_orm)
    assert not Profile.objects.using("other").exists()


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("bypass_orm", [False, True])
def test_an_instance_of_another_database_stays_there(bypass_orm):
    twin = Profile.objects.using("other").create(name="Twin")
    Profile.objects.create(pk=twin.pk, name="Ada")
    twin.update(name="Grace", bypass_orm=bypass_orm)
    assert read(twin, "name", using="other") == "Grace"
    assert read(twin, "name") == "Ada"


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("bypass_orm", [False, True])
def test_an_instance_read_from_a_replica_is_written_where_the_router_says(
    settings, profile, bypass_orm
):
    Profile.objects.using("other").create(pk=profile.pk, name="Ada")
    settings.DATABASE_ROUTERS = [ReplicaRouter()]
    replica = Profile.objects.get(pk=profile.pk)
    assert replica._state.db == "other"
    replica.update(name="Grace", bypass_orm=bypass_orm)
    assert read(profile, "name") == "Grace"
    assert read(profile, "name", using="other") == "Ada"
