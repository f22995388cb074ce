"""
The store: complete and unfinished objects as files on disk, the SQLite index of them, and what is evicted to make room.

May import C{observe} and C{model}.
"""

from distributor.cache.allocation import Allocation
from distributor.cache.argus import ArgusState
from distributor.cache.contents import Facts
from distributor.cache.database import Mark, Row
from distributor.cache.departures import Eviction
from distributor.cache.directories import DirectoryLock, lock_directories
from distributor.cache.disk import Disk
from distributor.cache.index import Index, check_index
from distributor.cache.items import Entry
from distributor.cache.open_file import MOST_SPARE, OpenFile, OpenFiles, StoredReader
from distributor.cache.store import Store

__all__ = [
    "MOST_SPARE",
    "Allocation",
    "ArgusState",
    "DirectoryLock",
    "Disk",
    "Entry",
    "Eviction",
    "Facts",
    "Index",
    "Mark",
    "OpenFile",
    "OpenFiles",
    "Row",
    "Store",
    "StoredReader",
    "check_index",
    "lock_directories",
]
