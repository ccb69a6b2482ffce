"""Data of other projects that tests feed to ours; the README says where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parent
CSV_SPECTRUM = ROOT / "csv-spectrum"


def read_naughty_strings():
    """Return the Big List of Naughty Strings."""
    return json.loads((ROOT / "blns/blns.json").read_text())


def read_file_name_rules():
    """Return what Windows refuses: ``reserved_names`` and a ``table_of_characters``."""
    return json.loads((ROOT / "filenames/windows_filename_rules.json").read_text())
