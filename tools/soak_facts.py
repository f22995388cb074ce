"""
What can be seen of a process from outside: its memory, its descriptors, its files.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

_LISTEN = "0A"


@frozen
class Descriptors:
    """
    The open files of a process, by what they are.

    @ivar served: connections that clients have made.
    @ivar upstream: connections to storage nodes and query nodes; those that are idle may be kept.
    @ivar ready: files of whole objects, one each: a node keeps those open that may be asked for again.
    @ivar objects: other files of objects: evicted, unfinished, or open twice.
    @ivar lost: sockets without a connection.
    @ivar others: everything else: listening ports, the index, pipes.
    """

    served: int = 0
    upstream: int = 0
    ready: int = 0
    objects: int = 0
    lost: int = 0
    others: int = 0


def tcp_sockets(table: str) -> dict[str, tuple[int, str]]:
    """
    The local port and the state of each socket in a table such as C{/proc/net/tcp}, by inode.
    """
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split()
        found[fields[9]] = (int(fields[1].rpartition(":")[2], 16), fields[3])
    return found


def classify(links: Iterable[str], sockets: dict[str, tuple[int, str]], ports: set[int], assets: Path) -> Descriptors:
    """
    Count open files by kind.

    @param links: what C{/proc/PID/fd} links to.
    @param ports: where the process serves.
    """
    kinds = []
    ready: set[str] = set()
    for link in links:
        inode = re.fullmatch(r"socket:\[(\d+)\]", link)
        if inode is not None:
            kinds.append(_kind_of_socket(sockets.get(inode[1]), ports))
            continue
        name = link.removeprefix(f"{assets}/")
        if name.isdecimal() and name not in ready:
            ready.add(name)
            kinds.append("ready")
        else:
            # Files of other names are the store's own.
            kinds.append("objects" if re.fullmatch(r"(?:\.partial/)?\d+(?: \(deleted\))?", name) else "others")
    return Descriptors(**Counter(kinds))


def _kind_of_socket(found: tuple[int, str] | None, ports: set[int]) -> str:
    if found is None:
        return "lost"
    port, state = found
    if state == _LISTEN:
        return "others"
    return "served" if port in ports else "upstream"


def descriptors(pid: int, ports: set[int], assets: Path) -> Descriptors:
    """
    The open files of a process.

    @raise OSError: there is no such process.
    """
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(os.readlink(each))
        except FileNotFoundError:
            # It was closed in between.
            continue
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6")]
    sockets: dict[str, tuple[int, str]] = {}
    for table in tables:
        if table.exists():
            sockets |= tcp_sockets(table.read_text(encoding="ascii"))
    return classify(links, sockets, ports, assets)


def resident(pid: int) -> int:
    """
    Bytes of memory.

    @raise OSError: there is no such process.
    """
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


@frozen
class Disk:
    """
    What a store has on disk.

    @ivar complete: bytes of whole objects.
    @ivar partial: bytes of disk that unfinished ones take, which are sparse; in C{partials} files.
    """

    complete: int
    partial: int
    partials: int

    @classmethod
    def of(cls, assets: Path) -> Disk:
        """
        Look.
        """
        # Files of other names are the store's own.
        whole = [each.stat().st_size for each in assets.iterdir() if each.name.isdecimal()]
        parts = [each.stat().st_blocks * 512 for each in (assets / ".partial").iterdir() if each.name.isdecimal()]
        return cls(sum(whole), sum(parts), len(parts))
