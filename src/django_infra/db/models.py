from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldError
from django.core.files import File
from django.db import DatabaseError, models, router

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
        changed = self._set_fields(fields, updated)
        if not commit:
            return changed
        # Also what an earlier call has set and not saved.
        if self._unsaved_updates.isdisjoint(field.attname for field in updated):
            return False
        if bypass_orm:
            self._write_row(updated, using=using)
        else:
            self._save_fields(updated, using=using)
        self._forget_changes(updated)
        return True

    @property
    def _unsaved_updates(self) -> set[str]:
        unsaved: set[str] = self.__dict__.setdefault("_unsaved_attnames", set())
        return unsaved

    def _get_updatable_fields(self, names: dict[str, Any]) -> list[models.Field[Any, Any]]:
        """Return the concrete field of each name."""
        concrete = self._meta.concrete_fields
        by_name = {name: field for field in concrete for name in (field.name, field.attname)}
        primary_key = {field.attname for field in self._meta.pk_fields}
        updatable = {
            name: field
            for name, field in by_name.items()
            if not (field.primary_key or field.generated or field.attname in primary_key)
        }
        if refused := [name for name in names if name not in updatable]:
            reasons = ", ".join(f"{name!r} ({_get_refusal(name, by_name)})" for name in refused)
            raise InvalidUpdate(
                f"{self._meta.object_name}.update() cannot set {reasons}. "
                f"Fields that can be set: {', '.join(sorted(updatable))}."
            )
        return list({updatable[name]: None for name in names})

    def _check_update(self, values: dict[str, Any], *, commit: bool, bypass_orm: bool) -> None:
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

    def _set_fields(self, values: dict[str, Any], fields: list[models.Field[Any, Any]]) -> bool:
        """Set the values and return whether one of the fields now differs from before."""
        before = {field.attname: self.__dict__.get(field.attname, _DEFERRED) for field in fields}
        for name, value in values.items():
            setattr(self, name, value)
        changed = {
            attname for attname, old in before.items() if not _is_same(old, getattr(self, attname))
        }
        self._unsaved_updates.update(changed)
        return bool(changed)

    def _save_fields(self, fields: list[models.Field[Any, Any]], *, using: str | None) -> None:
        concrete = self._meta.concrete_fields
        auto_now = [field for field in concrete if getattr(field, "auto_now", False)]
        self.save(using=using, update_fields={field.name for field in (*fields, *auto_now)})

    def _write_row(self, fields: list[models.Field[Any, Any]], *, using: str | None) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        row = type(self)._base_manager.using(using).filter(pk=self.pk)
        if not row.update(**{field.name: getattr(self, field.attname) for field in fields}):
            raise DatabaseError(f"{self!r} was not updated: its row does not exist.")
        # As save() does: the instance is now one of that database.
        self._state.db = using

    def _forget_changes(self, fields: list[models.Field[Any, Any]]) -> None:
        for field in fields:
            self._unsaved_updates.discard(field.attname)
            if hasattr(self.__dict__.get(field.attname), "resolve_expression"):
                # Saving again would apply the expression again; a deferred field is read instead.
                del self.__dict__[field.attname]


def _get_refusal(name: str, concrete: dict[str, models.Field[Any, Any]]) -> str:
    if name != "pk" and name not in concrete:
        return "unknown"
    return "generated" if name != "pk" and concrete[name].generated else "primary key"


def _is_same(old: object, new: object) -> bool:
    """Tell whether the new value is surely what the old one was.

    What can change in place may have done so, and ``0 == False`` are two things in JSON.
    """
    try:
        hash(new)
    except TypeError:
        return False
    return type(old) is type(new) and old == new and not isinstance(new, File)
