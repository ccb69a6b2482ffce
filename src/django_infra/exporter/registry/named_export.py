"""Define what a named export is: whose rows, which columns, and who may have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from django.forms import BaseForm, Form
from django.utils.functional import Promise

from django_infra.exporter.columns import AnyQuerySet, Values
from django_infra.exporter.writers import get_formats

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

# Apps import this module before there are models.
User: TypeAlias = "AbstractBaseUser | AnonymousUser"
# The ``cleaned_data`` of the export's form.
Params: TypeAlias = dict[str, Any]


class NamedExport:
    """What users may ask for by name: whose rows, which columns, and who may.

    ``register()`` makes one of a function; a subclass can override each step.
    """

    name: str = ""
    verbose_name: str | Promise = ""

    description: str | Promise = ""
    """For whoever chooses among the exports."""

    values: Values
    """Names of fields and annotations, or a mapping of them to headers."""

    permission: str | None
    """``"app_label.codename"``, or None for every active user."""

    is_listed: bool = True
    """Whether it is offered to users; code can run one that is not, and users cannot."""

    needs_user: bool = False
    """Whether it is refused where nobody asks; the user is then never None."""

    form_class: type[BaseForm] = Form
    """Validates the parameters; a Form without fields takes none."""

    formats: Sequence[str] | None = None
    """Those offered, the default first; None offers all, and CSV by default."""

    options: Mapping[str, Any] = {}
    """For the writer, in any of the formats."""

    max_rows: int | None = None
    """Instead of EXPORTER_MAX_ROWS."""

    max_file_size: int | None = None
    """In bytes, instead of EXPORTER_MAX_FILE_SIZE."""

    expires_in: timedelta | None = None
    """Instead of EXPORTER_EXPIRES_IN."""

    # The steps take any user, so that a subclass may annotate the user with the project's class.

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__}: {self.name!r}>"

    def get_context(self, params: Params, user: Any) -> AbstractContextManager[None]:
        """Return what the steps below, and the reading of the rows, are to happen in."""
        return nullcontext()

    def get_queryset(self, params: Params, user: Any) -> AnyQuerySet:
        """Return the rows for the form's ``cleaned_data`` and the user, None if nobody asks."""
        raise NotImplementedError(f"{type(self).__qualname__} must define get_queryset().")

    def get_values(self, params: Params, user: Any) -> Values:
        """Return the columns for these parameters and this user."""
        return self.values

    def get_options(self, params: Params, user: Any) -> Mapping[str, Any]:
        """Return the options of the writer for these parameters and this user."""
        return self.options

    def get_form(self, data: Any, user: Any) -> BaseForm:
        """Return the form of the parameters, unbound if ``data`` is None."""
        return self.form_class(data)

    def is_permitted(self, user: Any) -> bool:
        """Tell whether the user may run the export."""
        return bool(user.is_active) and (self.permission is None or user.has_perm(self.permission))

    def get_scope(self, params: Params) -> str:
        """Return what of the parameters decides who may download; empty if nothing does."""
        return ""

    def may_download(self, user: Any, scope: str) -> bool:
        """Tell whether a user who has run the export within the scope may still have its file."""
        return self.is_permitted(user)

    def get_formats(self) -> Sequence[str]:
        """Return the names of the formats that are offered, the default first."""
        return list(get_formats()) if self.formats is None else self.formats


class FunctionExport(NamedExport):
    """A named export whose queryset a function makes."""

    function: ClassVar[Callable[..., AnyQuerySet]]

    def get_queryset(self, params: Params, user: Any) -> AnyQuerySet:
        return type(self).function(params, user)
