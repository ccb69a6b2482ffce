"""Parse the Range header of a request (RFC 9110, section 14)."""

from __future__ import annotations

import re
import sys

BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)


def parse_byte_range(header: str, size: int) -> range | None:
    """Return the one range of a header, empty if it is not in the file; None to ignore it.

    Several ranges are ignored, which the RFC allows: the whole file costs the server less.
    """
    match = BYTE_RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    # Without a first position the digits count the last bytes of the file.
    if not match[1]:
        return range(size - min(_parse_position(match[2]), size), size)
    start = _parse_position(match[1])
    last = _parse_position(match[2]) if match[2] else sys.maxsize
    return None if last < start else range(start, min(last + 1, size))


def _parse_position(digits: str) -> int:
    # int() refuses thousands of digits; no file is that large.
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < 19 else sys.maxsize
