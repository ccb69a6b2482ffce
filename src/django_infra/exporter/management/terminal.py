"""Show text that others wrote on a terminal, which obeys the control characters in it."""

from __future__ import annotations


def show_line(text: str) -> str:
    """Return the text in one line, with what does not print written as in Python."""
    # isprintable() is also False for what hides text or turns its direction round.
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def show_lines(text: str) -> str:
    """Return the text as ``show_line()``, with the lines that it has."""
    return "\n".join(map(show_line, text.split("\n")))
