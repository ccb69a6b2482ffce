"""Register the named exports that each app's ``exports.py`` declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from django.utils.module_loading import autodiscover_modules

from django_infra.exporter.exceptions import InvalidNamedExport, UnknownExport
from django_infra.exporter.registry.declarations import find_faults
from django_infra.exporter.registry.named_export import FunctionExport, NamedExport, User

__all__ = ["NamedExport", "autodiscover", "register", "registry"]

Target = TypeVar("Target", bound=Callable[..., Any])

# The name is an argument of its own, and always given.
ATTRIBUTES = frozenset(NamedExport.__annotations__) - {"name"}


class Registry:
    """The named exports of a project."""

    def __init__(self) -> None:
        self.exports: list[NamedExport] = []

    def register(self, name: str, **attributes: Any) -> Callable[[Target], Target]:
        """Register the decorated function, or subclass of NamedExport, under the name.

        ``attributes`` are those of NamedExport. The function takes the parameters and the user,
        and returns a queryset.
        """
        if unknown := attributes.keys() - ATTRIBUTES:
            raise TypeError(
                f"register({name!r}) got {', '.join(map(repr, sorted(unknown)))}. "
                f"Allowed: {', '.join(map(repr, sorted(ATTRIBUTES)))}."
            )

        def register(target: Target) -> Target:
            # The class stands for the function: tracebacks and help() show where that is.
            copied = ("__doc__", "__module__", "__qualname__")
            members = {
                **attributes,
                "name": name,
                **{each: getattr(target, each) for each in copied},
            }
            if isinstance(target, type) and issubclass(target, NamedExport):
                base: type[NamedExport] = target
            else:
                base, members["function"] = FunctionExport, staticmethod(target)
            self.exports.append(type(target.__name__, (base,), members)())
            return target

        return register

    def get(self, name: object) -> NamedExport:
        """Return the export of the name.

        Raises UnknownExport, and InvalidNamedExport for a declaration that cannot work.
        """
        for export in self.exports:
            # A declaration that cannot work is an error for whoever asks for it, and no other.
            if export.name == name:
                for fault in self.find_faults(export):
                    raise InvalidNamedExport(f"The named export {name!r} cannot work: {fault}.")
                return export
        # Names that are not offered are not told either.
        listed = sorted(repr(export.name) for export in self.exports if export.is_listed)
        names = ", ".join(listed) or "none"
        raise UnknownExport(f"No export is registered as {name!r}. Registered: {names}.")

    def get_permitted(self, user: User) -> list[NamedExport]:
        """Return the listed exports that the user may run, by name; raise as ``get()``."""
        listed = (export for export in self.exports if export.is_listed)
        names = sorted(export.name for export in listed if export.is_permitted(user))
        return [self.get(name) for name in names]

    def find_faults(self, export: NamedExport) -> Iterator[str]:
        """Yield what keeps the export from working, others of its name included."""
        if sum(other.name == export.name for other in self.exports) > 1:
            yield "its name is registered more than once"
        yield from find_faults(export)


registry = Registry()
register = registry.register


def autodiscover() -> None:
    """Import the ``exports`` module of each installed app."""
    autodiscover_modules("exports")
