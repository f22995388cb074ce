"""
Command-line options to services: the only room that reads C{sys.argv}, and that knows the reactor.

May import any other.
"""

from distributor.tap.node import makeService
from distributor.tap.options import Options
from distributor.tap.storage_node import StorageNode

__all__ = ["Options", "StorageNode", "makeService"]
