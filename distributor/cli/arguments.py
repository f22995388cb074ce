"""
What an operator may name on the command line: data objects, buckets, rates.
"""

from __future__ import annotations

from typing import Any

import click

from distributor.config import parse_size
from distributor.model import is_object_id


class _ObjectId(click.ParamType[str]):
    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not isinstance(value, str) or not is_object_id(value):
            self.fail(f"{value!r} is not the id of a data object: a decimal number", param, ctx)
        return value


class _Rate(click.ParamType[int]):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            rate = value if isinstance(value, int) else parse_size(value)
        except ValueError:
            rate = 0
        if rate < 1:
            self.fail(f"{value!r} is not a rate such as 50M, in bytes a second (units B, K, M, G, T)", param, ctx)
        return rate


#: A canonical decimal id.
OBJECT_ID = _ObjectId()

#: Bytes per second, written as the configuration writes sizes.
RATE = _Rate()
