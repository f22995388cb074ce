"""
The tables of C{docs/faults.rst}, as the matrix writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.integration.combination import READINGS, Seen

#: One line of a table, field by field.
Row = Sequence[str]


def table(heading: Row, rows: Sequence[Row]) -> str:
    """
    A simple table of reStructuredText. The first field of no row may be empty.
    """
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    rule = "  ".join("=" * width for width in widths)

    def line(row: Row) -> str:
        return "  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip()

    return "\n".join([rule, line(heading), rule, *map(line, rows), rule])


def with_section(document: str, title: str, body: str) -> str:
    """
    C{document} with what stands under a title replaced, up to the next title or the end.

    @raise ValueError: it has no such title.
    """
    heading = f"\n{title}\n{'-' * len(title)}\n"
    before, found, after = document.partition(heading)
    if not found:
        raise ValueError(f"there is no section {title!r}")
    lines = after.split("\n")
    underlines = (number for number, line in enumerate(lines) if line and not line.strip("-"))
    rest = "\n".join(lines[next(underlines, len(lines) + 1) - 1 :])
    return f"{before}{heading}\n{body}\n" + (f"\n{rest}" if rest else "")


def write_section(path: Path, title: str, body: str) -> None:
    """
    The same, in a file.

    @raise OSError: it cannot be read, or written.
    """
    path.write_text(with_section(path.read_text(encoding="utf-8"), title, body), encoding="utf-8")


def matrix_table(everything: list[Seen]) -> str:
    """
    What came of all combinations of some troubles.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    for seen in everything:
        combination = seen.combination
        nodes = "one" if combination.honest is None else "two"
        row = (combination.trouble.name, nodes, "yes" if combination.killed else "no")
        rows.setdefault(row, []).append(str(seen))
    return table(("trouble", "nodes", "killed", *READINGS), [(*row, *fields) for row, fields in rows.items()])
