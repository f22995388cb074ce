"""
How values are written for people: sizes, rates, times, and texts of unknown origin. Pure.

All of these take whatever JSON may hold, and write a dash where it is not what it should be: an answer of a newer node
can then still be shown.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, tzinfo

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")

#: Where there is nothing to say.
NOTHING = "-"


def number(value: object) -> float | None:
    """
    A number of JSON, if C{value} is one that can be counted with.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Not a number is not within any bounds; and what JSON calls an integer may be larger than any float.
    return value if -1e15 < value < 1e19 else None


def size(value: object) -> str:
    """
    Bytes, such as C{1.5 MiB}.
    """
    amount = number(value)
    if amount is None or amount < 0:
        return NOTHING
    if round(amount) < 1024:
        return f"{round(amount)} B"
    unit = 0
    amount /= 1024
    while round(amount, 1) >= 1024 and unit + 1 < len(_UNITS):
        unit, amount = unit + 1, amount / 1024
    return f"{amount:.1f} {_UNITS[unit]}"


def rate(value: object) -> str:
    """
    Bytes per second.
    """
    shown = size(value)
    return shown if shown == NOTHING else f"{shown}/s"


def count(value: object) -> str:
    """
    A number of things.
    """
    amount = number(value)
    return NOTHING if amount is None else f"{amount:.0f}"


def share(part: object, whole: object) -> str:
    """
    How much of something there is. 100 % is all of it, and nothing less.
    """
    have, all = number(part), number(whole)
    if have is None or all is None or have < 0 or all < have:
        return NOTHING
    return "100 %" if have == all else f"{int(100 * have / all)} %"


def milliseconds(value: object) -> str:
    """
    A short time.
    """
    amount = number(value)
    return NOTHING if amount is None else f"{amount:.0f} ms"


def duration(value: object) -> str:
    """
    Seconds, in the two largest units that matter: C{3 h 20 min}.
    """
    amount = number(value)
    if amount is None or amount < 0:
        return NOTHING
    seconds = round(amount)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if not minutes:
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min {seconds % 60} s"
    if not days:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def ago(value: object, now: float) -> str:
    """
    How long since a time, both in seconds since 1970. Clocks differ, so what is still to come is now.
    """
    at = number(value)
    return NOTHING if at is None else f"{duration(max(0.0, now - at))} ago"


def moment(value: object, zone: tzinfo | None = None) -> str:
    """
    A time in seconds since 1970.

    @param zone: L{None}: that of this machine.
    """
    at = number(value)
    if at is None:
        return NOTHING
    try:
        return f"{datetime.fromtimestamp(at, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return NOTHING


def text(value: object) -> str:
    """
    A value on one line. Storage nodes and those who describe them write texts that arrive here, and a terminal would
    obey some of them: what cannot be printed is escaped.
    """
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in written)
