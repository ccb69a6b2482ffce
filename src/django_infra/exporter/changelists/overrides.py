"""Tell what a project defines in place of Django's own."""

from __future__ import annotations

import sys

# Django calls them with a row, or in place of its page, so that a project's own may hide the row or
# what it likes of it.
ROW_METHODS = (
    "_changeform_view",
    "_get_form_for_get_fields",
    "change_view",
    "changeform_view",
    "get_exclude",
    "get_fields",
    "get_fieldsets",
    "get_form",
    "get_formset",
    "get_object",
    "get_readonly_fields",
    "has_view_or_change_permission",
    "has_view_permission",
    "render_change_form",
)
# By these Django finds out which fields a form has, and makes one for it.
FIELDS_METHODS = (
    "_get_form_for_get_fields",
    "get_fields",
    "get_fieldsets",
    "get_form",
    "get_formset",
)
INLINE_METHODS = (
    "_create_formsets",
    "get_formset_kwargs",
    "get_formsets_with_inlines",
    "get_inline_formsets",
    "get_inline_instances",
    "get_inlines",
)
LIST_METHODS = ("get_changelist", "get_changelist_instance")
FORM_METHODS = ("__getitem__", "__init__", "get_initial_for_field")
FORMSET_METHODS = ("__init__", "__iter__", "_construct_form", "forms", "get_queryset")
QUERYSET_METHODS = ("__iter__", "_fetch_all", "get", "iterator")


def are_djangos(owner: object, names: tuple[str, ...]) -> bool:
    """Tell whether nobody but Django defines these attributes of an object or a class."""
    kind = owner if isinstance(owner, type) else type(owner)
    if kind is not owner and not vars(owner).keys().isdisjoint(names):
        return False
    for name in names:
        definer = next((each for each in kind.__mro__ if name in vars(each)), object)
        if definer is object:
            continue
        if definer.__module__.partition(".")[0] != "django":
            return False
        # Django's metaclasses give their own module to a class that is made without a statement.
        if vars(sys.modules[definer.__module__]).get(definer.__qualname__) is not definer:
            return False
    return True
