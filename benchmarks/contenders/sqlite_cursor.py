"""Export as fast as Python can on SQLite: a cursor straight into csv.writer, without Django.

python sqlite_cursor.py DATABASE SQL PATH
"""

from __future__ import annotations

import csv
import sqlite3
import sys

if __name__ == "__main__":
    database, sql, path = sys.argv[1:]
    cursor = sqlite3.connect(database).execute(sql)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(column for column, *_ in cursor.description)
        writer.writerows(cursor)
