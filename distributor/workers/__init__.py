"""
Several processes for one port: the owner, which has the downloads, the index and the catalogue; and workers, which
answer from complete files by themselves, and follow the owner's downloads.

May import C{node} and what is below it.
"""

from distributor.workers.crew import CONNECTION_FD, FIRST_PORT_FD, Crew
from distributor.workers.mirror import Mirror
from distributor.workers.owner import Owner, Shared
from distributor.workers.remote import RemoteNode
from distributor.workers.wire import Crowd
from distributor.workers.worker import OwnerLost, Worker

__all__ = [
    "CONNECTION_FD",
    "FIRST_PORT_FD",
    "Crew",
    "Crowd",
    "Mirror",
    "Owner",
    "OwnerLost",
    "RemoteNode",
    "Shared",
    "Worker",
]
