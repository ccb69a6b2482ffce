"""Update the fields of an instance that a caller names, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import FieldError
from django.core.files import File
from django.db import DatabaseError, models, router

# It stands for the value of a field that has not been loaded.
_DEFERRED = object()


class InvalidUpdate(FieldError, ValueError):
    """A name passed to ``update()`` cannot be updated."""


class UpdatableModel(models.Model):
    """Model whose instances update the fields that a caller names, and no others."""

    class Meta:
        abstract = True

    def update(
        self,
        /,
        *,
        commit: bool = True,
        bypass_orm: bool = False,
        using: str | None = None,
        **fields: Any,
    ) -> bool:
        """Set the named fields, save exactly those, and return whether anything changed.

        Fields with ``auto_now`` are saved too. No query runs when the instance, which stands for
        its row, has the values already; a value that can be changed in place (a list, a dict)
        always counts as changed, since the old one is not known. ``commit=False`` only sets.
        ``bypass_orm`` writes straight to the row: no ``save()``, no signals, no ``auto_now``. An
        expression is read back when the field is next used.

        Raises InvalidUpdate, before anything is set, for names that are unknown or that belong to
        the primary key, and DatabaseError if the row is gone.
        """
        updated = self._get_updatable_fields(fields)
        self._check_update(fields, commit=commit, bypass_orm=bypass_orm)
        before = {field.attname: self.__dict__.get(field.attname, _DEFERRED) for field in updated}
        for name, value in fields.items():
            setattr(self, name, value)
        changed = {
            attname for attname, old in before.items() if not _is_same(old, getattr(self, attname))
        }
        # Also what an earlier call has set with commit=False is saved when its name comes again.
        unsaved: set[str] = self.__dict__.setdefault("_unsaved_attnames", set())
        unsaved.update(changed)
        if not commit:
            return bool(changed)
        if unsaved.isdisjoint(before):
            return False
        if bypass_orm:
            self._write_row(updated, using=using)
        else:
            concrete = self._meta.concrete_fields
            auto_now = [field for field in concrete if getattr(field, "auto_now", False)]
            self.save(using=using, update_fields={field.name for field in (*updated, *auto_now)})
        unsaved.difference_update(before)
        for attname in before:
            # Saving again would apply the expression again; a deferred field is read instead.
            if hasattr(self.__dict__.get(attname), "resolve_expression"):
                del self.__dict__[attname]
        return True

    def _get_updatable_fields(self, names: Iterable[str]) -> list[models.Field[Any, Any]]:
        """Return the concrete field of each name."""
        primary_key = {field.attname for field in self._meta.pk_fields}
        updatable: dict[str, models.Field[Any, Any]] = {}
        reasons = {"pk": "primary key"}
        for field in self._meta.concrete_fields:
            for name in (field.name, field.attname):
                if field.generated:
                    reasons[name] = "generated"
                elif field.primary_key or field.attname in primary_key:
                    reasons[name] = "primary key"
                else:
                    updatable[name] = field
        if refused := [name for name in names if name not in updatable]:
            shown = [f"{name!r} ({reasons.get(name, 'unknown')})" for name in refused]
            raise InvalidUpdate(
                f"{self._meta.object_name}.update() cannot set {', '.join(shown)}. "
                f"Fields that can be set: {', '.join(sorted(updatable))}."
            )
        # A field may come by both of its names, and is saved once.
        return list({updatable[name]: None for name in names})

    def _check_update(self, values: dict[str, object], *, commit: bool, bypass_orm: bool) -> None:
        if bypass_orm and not commit:
            raise ValueError("update() got bypass_orm=True with commit=False; choose one.")
        if commit and self._state.adding:
            raise ValueError(
                f"{self._meta.object_name}.update() needs a saved instance; save() it first, "
                "or pass commit=False."
            )
        if commit and self.pk is None:
            raise DatabaseError(f"{self!r} was not updated: it has been deleted.")
        for name, value in values.items():
            is_new_file = isinstance(value, File) and not getattr(value, "_committed", False)
            if bypass_orm and is_new_file:
                raise ValueError(
                    f"{name} is a new file, which bypass_orm=True would not put into storage; "
                    "save it first, or update() without bypass_orm."
                )

    def _write_row(self, fields: list[models.Field[Any, Any]], *, using: str | None) -> None:
        """Write the fields past ``save()`` and its signals."""
        using = using or router.db_for_write(type(self), instance=self)
        row = type(self)._base_manager.using(using).filter(pk=self.pk)
        if not row.update(**{field.name: getattr(self, field.attname) for field in fields}):
            raise DatabaseError(f"{self!r} was not updated: its row does not exist.")
        # As save() does: the instance is now one of that database.
        self._state.db = using


def _is_same(old: object, new: object) -> bool:
    """Tell whether the new value is surely what the old one was.

    What can change in place may have done so, and ``0 == False`` are two things in JSON.
    """
    try:
        hash(new)
    except TypeError:
        return False
    return type(old) is type(new) and old == new and not isinstance(new, File)
