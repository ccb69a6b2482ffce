"""Export by pandas: a DataFrame of the queryset's rows, and its to_csv()."""

from __future__ import annotations

import pandas

from shop.queries import COLUMNS, get_orders


def export(path: str) -> None:
    rows = get_orders().values_list(*COLUMNS)
    pandas.DataFrame.from_records(rows, columns=COLUMNS).to_csv(path, index=False)
