"""
What the fields of a catalogue may hold, whoever has written them: the operator a manifest, or third parties the chain.

Pure.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

#: Longer than any in use; in characters.
_LONGEST_ENDPOINT = 2048

# RFC 9110 §8.3.1. It becomes a header, so what could end one is kept out.
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}/[!#$%&'*+.^_`|~0-9A-Za-z-]{1,127}(?: *;[ -~]{0,255})?\Z")


def is_endpoint(text: str) -> bool:
    """
    Whether C{text} is an http or https URL with a host, and without credentials, query or fragment. Where it leads is
    for those to judge who connect to it.
    """
    # urlsplit drops tabs and line ends silently, and takes a backslash for a character of the host.
    if len(text) > _LONGEST_ENDPOINT or re.search(r"[^!-~]|[\\?#]", text):
        return False
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and "@" not in url.netloc and port != 0


def is_media_type(text: str) -> bool:
    """
    Whether C{text} can be sent as a C{Content-Type}.
    """
    return _MEDIA_TYPE.match(text) is not None
