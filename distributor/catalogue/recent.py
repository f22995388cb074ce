"""
A mapping that keeps what was used last.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """
    Values by object id, of bounded number: the one that was used longest ago makes room.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> T | None:
        """
        A value, which is used by this.
        """
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def peek(self, key: str) -> T | None:
        """
        A value, which is not.
        """
        return self._values.get(key)

    def put(self, key: str, value: T) -> None:
        """
        Keep a value.
        """
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        """
        Forget a value, if there is one.
        """
        self._values.pop(key, None)
