"""
The page for people at C{GET /}: what this node is, and what it serves, with players.

Pure: values in, HTML out. The page fetches nothing but the node's own assets, and runs no script.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from attrs import frozen

_STYLE = """
:root { color-scheme: light dark; --ground: #faf8f5; --card: #fff; --ink: #23243a; --soft: #5d5f78; --line: #e4e0da;
  --accent: #b4471f; --code: #f3f0eb; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12132a; --card: #1b1d3a; --ink: #eceaf4; --soft: #a9abc6; --line: #2f3157; --accent: #ffab7d;
    --code: #14152f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
body > * { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.75rem; padding-bottom: 1.5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0; }
p { margin: .3rem 0; }
.soft { color: var(--soft); }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 3px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.25rem; }
article { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; overflow: hidden; }
article:first-child { grid-column: 1 / -1; }
.text { display: flex; flex-direction: column; flex: 1; gap: .55rem; padding: 1rem 1.15rem 1.15rem; }
.text > pre { margin-top: auto; }
video, img { display: block; width: 100%; background: #0b0c1e; }
video { aspect-ratio: 16 / 9; }
img { height: auto; }
audio { display: block; width: 100%; padding: 1rem 1rem 0; }
ul { display: flex; flex-wrap: wrap; gap: .2rem .9rem; margin: 0; padding: 0; list-style: none; font-size: .9rem; }
pre { margin: 0; padding: .55rem .75rem; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--code);
  border-radius: 8px; font: .82rem/1.5 ui-monospace, monospace; user-select: all; }
.only { padding: 1.25rem; gap: .6rem; }
@media (min-width: 60rem) {
  article:first-child:has(video) { flex-direction: row; }
  article:first-child video { flex: 0 0 66%; width: 66%; }
}
footer { padding-top: 1.75rem; padding-bottom: 3rem; color: var(--soft); font-size: .9rem; }
"""

#: The policy to send with the page: its own style, the node's own media, and nothing else (C{data:} is the empty icon).
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; media-src 'self'; img-src 'self' data:; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode('ascii')}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Prints the headers, which say more of the node than the bytes do.
_RANGE_COMMAND = "curl -s -D - -o part -r 0-1023"

_API_LINKS = (("status", "/api/v1/status"), ("buckets", "/api/v1/buckets"), ("OpenAPI", "/api/v1/openapi.json"))


@frozen
class PageEntry:
    """
    An object to show.

    @ivar type: its media type; decides on the player.
    @ivar size: bytes.
    @ivar captions: the id of a WebVTT object that belongs to a video.
    @ivar poster: the id of an image to show until a video plays.
    """

    id: str
    title: str
    type: str
    size: int
    description: str = ""
    captions: str | None = None
    poster: str | None = None


def page(title: str, node_id: str, entries: Sequence[PageEntry], origin: str = "") -> str:
    """
    The page, as a whole document.

    @param entries: what to show, the first of them large; without any, the page says what this node is and where its
        API is to be found.
    @param origin: scheme, host and port of the node as its visitor sees them (C{http://127.0.0.1:3334}), for the
        commands to copy.
    """
    if entries:
        about = "Every object below comes from this node. Play it, seek in it, or ask for any bytes of it."
        content = "\n".join(_article(entry, origin) for entry in entries)
    else:
        about = "It stands between viewers and storage nodes, and answers byte ranges of media objects."
        content = _nothing_listed(origin)
    links = " · ".join(f'<a href="{path}">{name}</a>' for name, path in _API_LINKS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="soft">This is distributor node <strong>{escape(node_id)}</strong>. {about}</p>
</header>
<main>
{content}
</main>
<footer><nav aria-label="API">The API: {links}</nav></footer>
</body>
</html>
"""


def readable_size(size: int) -> str:
    """
    A number of bytes for people: C{"699.2 KiB"}.
    """
    if size < 1024:
        return f"{size} byte" if size == 1 else f"{size} bytes"
    amount, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        # One decimal is shown, so that 1023.95 would read as 1024.0.
        if amount < 1023.95:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def _article(entry: PageEntry, origin: str) -> str:
    path = _path(entry.id)
    facts = (
        escape(entry.type),
        f'<span title="{entry.size} bytes">{readable_size(entry.size)}</span>',
        f'<a href="{escape(path)}">{escape(path)}</a>',
        f'<a href="{escape(path)}?download">download</a>',
    )
    listed = "".join(f"<li>{fact}</li>" for fact in facts)
    return f"""<article>
{_player(entry)}<div class="text">
<h2>{escape(entry.title)}</h2>
<p class="soft">{escape(entry.description)}</p>
<ul>{listed}</ul>
{_command(entry, origin)}
</div>
</article>"""


def _player(entry: PageEntry) -> str:
    source, label = escape(_path(entry.id)), escape(entry.title)
    kind = entry.type.partition("/")[0] if entry.size else ""
    if kind == "video":
        track = poster = ""
        if entry.captions is not None:
            captions = escape(_path(entry.captions))
            track = f'<track kind="captions" srclang="en" label="English" src="{captions}" default>'
        if entry.poster is not None:
            poster = f' poster="{escape(_path(entry.poster))}"'
        return (
            f'<video controls playsinline preload="metadata" aria-label="{label}"{poster}>'
            f'<source src="{source}" type="{escape(entry.type)}">{track}</video>\n'
        )
    if kind == "audio":
        return f'<audio controls preload="metadata" aria-label="{label}" src="{source}"></audio>\n'
    if kind == "image":
        return f'<img src="{source}" alt="{label}" loading="lazy">\n'
    return ""


def _command(entry: PageEntry, origin: str) -> str:
    url = shlex.quote(origin + _path(entry.id))
    # A terminal can show text; of an empty object, no range can be had.
    if entry.type.startswith("text/") or not entry.size:
        return _code(f"curl -i {url}")
    return _code(f"{_RANGE_COMMAND} {url}")


def _code(command: str) -> str:
    return f"<pre><code>{escape(command)}</code></pre>"


def _nothing_listed(origin: str) -> str:
    status, asset = shlex.quote(origin + "/api/v1/status"), shlex.quote(origin + "/api/v1/asset/ID")
    return f"""<article class="only">
<h2>Ask for an object by its id</h2>
<p>Objects are at <code>/api/v1/asset/ID</code>, whole or in ranges. This page lists none: the catalogue knows them.</p>
{_code(f"{_RANGE_COMMAND} {asset}")}
<p>What the node holds, and how it is:</p>
{_code(f"curl {status}")}
</article>"""


def _path(object_id: str) -> str:
    return f"/api/v1/asset/{quote(object_id, safe='')}"
