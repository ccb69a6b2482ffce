"""Make names of files safe, and write them in HTTP headers."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

# Most file systems hold no longer name.
MAX_FILENAME_BYTES = 255
# What is longer is no extension but the end of a sentence.
MAX_EXTENSION_BYTES = 20
# Separators of folders and lines, controls (those of the writing direction too, which make
# "fdp.exe" look like "exe.pdf"), and halves of characters.
UNSAFE = re.compile(
    r"[\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What clients read in different ways between quotes (RFC 6266, appendix D).
NOT_PLAIN = re.compile(r'[^ -~]|["%]')
# Windows takes these names for devices, whatever extension they have.
RESERVED = re.compile(
    r"(?:aux|con|conin\$|conout\$|nul|prn|(?:com|lpt)[1-9¹²³])[ ]*(?:\..*)?", re.IGNORECASE
)


def content_disposition(filename: str) -> str:
    """Return the header that has a client save a file under this name, made safe (RFC 6266)."""
    name = UNSAFE.sub("_", filename.rpartition("/")[2]).strip().rstrip(". ")
    if RESERVED.fullmatch(name):
        name = f"_{name}"
    stem, extension = os.path.splitext(name)
    if len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, extension = name, ""
    room = MAX_FILENAME_BYTES - len(extension.encode())
    # The cut may fall within a character, whose first bytes are then left out.
    name = (stem.encode()[:room].decode(errors="ignore") + extension) or "download"
    plain = NOT_PLAIN.sub("_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
