"""
The configuration in force, as it is shown to operators: every key, its value without secrets, and where that came from.
"""

from __future__ import annotations

import json

from distributor.config.locations import Directories
from distributor.config.values import Config, Effective


def effective(config: Config, where: Directories | None = None) -> tuple[Effective, ...]:
    """
    Every key in force, in the order of the table. Secrets are hidden, and paths are absolute.

    @param where: the directories in use, some of which may not be those that C{config} names.
    """
    rows = dict(config.rows)
    if where is not None:
        for key, path in ("directories.assets", where.assets), ("directories.cacheState", where.cache_state):
            rows[key] = Effective(key=key, value=str(path), origin=where.origins.get(key, rows[key].origin))
    return tuple(rows.values())


def report(config: Config, where: Directories) -> str:
    """
    The rows of L{effective} as a table to read at a terminal, the notices below it.
    """
    cells = [(row.key, _shown(row.value), row.origin) for row in effective(config, where)]
    key_width, value_width = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    table = "".join(f"{key:<{key_width}}  {value:<{value_width}}  {origin}\n" for key, value, origin in cells)
    return table + "".join(f"note: {notice}\n" for notice in config.notices)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
