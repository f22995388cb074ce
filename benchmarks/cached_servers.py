"""
Servers of a folder that have all of it on their disks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.processes import PATIENCE_S, CannotMeasure, Server, directory
from benchmarks.readers import Reader, read_all
from benchmarks.servers import distributor, nginx_static, storage_node

#: Serves the objects in a folder from its disk, for a while.
Serving = Callable[[Path], AbstractContextManager[Server]]


@contextmanager
def cached(media: Path) -> Iterator[Server]:
    """
    A node that has fetched the objects in an earlier life. Its storage node is gone: all comes from the disk.
    """
    with directory() as beside, directory() as here:
        manifest = beside / "manifest.yml"
        with storage_node(beside, media), distributor(here, manifest) as node:
            for each in media.iterdir():
                filling = Reader(node.address, f"/api/v1/asset/{each.name}", each.read_bytes())
                read_all([filling], PATIENCE_S)
                if filling.error is not None:
                    raise CannotMeasure(f"object {each.name} does not get into the node: {filling.error}")
        with distributor(here, manifest) as node:
            yield node


@contextmanager
def static(media: Path) -> Iterator[Server]:
    """
    nginx over the same folder.
    """
    with directory() as here, nginx_static(here, media) as server:
        yield server
