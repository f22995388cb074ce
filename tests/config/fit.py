"""
Values that keys may have, for Hypothesis.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from distributor.config.keys import Setting
from distributor.observe.levels import LEVELS, OFF

integers = st.integers
# Nothing that unsets a value, and nothing that begins or ends with space.
words = st.from_regex(r"[!-~]([ -~]{0,10}[!-~])?", fullmatch=True).filter(
    lambda word: word not in ("off", "null", "undefined")
)
_sizes = st.builds("{}{}".format, st.integers(1, 500), st.sampled_from("MGT"))
_urls = st.builds(
    "{}://{}:{}/{}".format,
    st.sampled_from(("http", "https")),
    st.from_regex(r"[a-z0-9]{1,9}(\.[a-z]{2})?", fullmatch=True),
    st.integers(1, 65535),
    st.sampled_from(("", "graphql", "graphql?a=b")),
)
_identifiers = words | st.integers(0, 2**63 - 1)

_BY_EXPECTATION: dict[str, st.SearchStrategy[Any]] = {
    "true or false": st.booleans(),
    "an http or https URL": _urls,
    "an integer from 0 to 65535": st.integers(0, 65535),
    "an integer from 0 to 1000000000": st.integers(0, 10**9),
    "an integer from 1 to 64": st.integers(1, 64),
    "an integer from 1 to 1000000000": st.integers(1, 10**9),
    "an integer from 60 to 1000000000": st.integers(60, 10**9),
    "an integer from 1000 to 1000000000": st.integers(1000, 10**9),
    "an integer, at least 1": st.integers(1, 2**63 - 1),
    "an integer, at least 1024": st.integers(1024, 2**63 - 1),
    "a non-negative integer": st.integers(0, 2**63 - 1),
    f"one of {', '.join((*LEVELS, OFF))}": st.sampled_from((*LEVELS, OFF)),
    "one of yearly, monthly, daily, hourly": st.sampled_from(("yearly", "monthly", "daily", "hourly")),
    'a list of bucket ids such as "0:1", or all': st.lists(_identifiers) | st.just("all"),
    "a list of networks such as 10.0.0.0/8": st.lists(st.ip_addresses().map(str)),
    "a list of keys": st.lists(words | st.dictionaries(words, words)),
}


def fit(key: Setting) -> st.SearchStrategy[Any]:
    """
    Values that C{key} may have, as they are written in a file.
    """
    expected = key.kind.expected
    if expected.startswith("a size"):
        return _sizes
    return _BY_EXPECTATION.get(expected, words)
