"""
What a devnet says to whoever started it.
"""

from __future__ import annotations

from distributor.devnet.generated_media import MIB
from distributor.devnet.layout import Layout, distributor_name, url_of


def guide(layout: Layout, python: str) -> str:
    """
    Where everything is, and what to try.

    @param python: the interpreter, as one would type it.
    """
    lines = [f"The devnet is up; its files are in {layout.directory}", ""]
    lines += [f"  {each.name:<14} {each.url}" for each in layout.programs()]
    first, second = layout.distributed(0), layout.distributed(1)
    largest = max(first, key=lambda item: item.size)
    alone = next(item for item in second if item not in first)
    a, b = (url_of(port) for port in layout.ports.public)
    lines += [
        "",
        "Try:",
        f"  curl -o /dev/null {a}/api/v1/asset/{largest.id}     # {largest.size // MIB} MiB, downloaded while you read",
        f"  curl -s -D - -o /dev/null -r 0-99 {a}/api/v1/asset/{largest.id}     # again, from the disk",
        f"  curl -si {a}/api/v1/asset/{alone.id}     # 421: {distributor_name(1)} alone distributes this one",
        f"  curl -o /dev/null {b}/api/v1/asset/{alone.id}",
        f"  curl -s {a}/api/v1/status",
    ]
    if not layout.from_manifest:
        lines += [
            f"  curl -s {url_of(layout.ports.query[0])}/graphql -H 'Content-Type: application/json' \\",
            '      -d \'{"query": "{ storageBags { id objects { id size } } }"}\'',
            f"  {python} -m distributor status --config {layout.distributor_folder(0) / 'config.yml'}",
            f"  {python} -m distributor storage-nodes --config {layout.distributor_folder(1) / 'config.yml'}",
        ]
    lie = f"curl -X PUT -d '{{\"flip_at\": 0}}' {url_of(layout.ports.storage[0])}/fault"
    lines += [
        f"  {lie}     # storage-0 lies until -d '{{}}'",
        "",
        "Ctrl-C ends everything.",
    ]
    return "\n".join(lines)
