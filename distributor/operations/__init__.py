"""
What an operator can ask of a running node: how it does, and to fetch, evict, verify, open, close and end.

May import C{config} and all rooms below it.
"""

from distributor.operations.door import Door, DoorState
from distributor.operations.operations import Operations, progress_shown
from distributor.operations.prefetch import Prefetch
from distributor.operations.scrub import Scrub

__all__ = ["Door", "DoorState", "Operations", "Prefetch", "Scrub", "progress_shown"]
