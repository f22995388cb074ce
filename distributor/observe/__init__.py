"""
How the node tells of itself: what is logged sparingly, and what the service manager is told.

May import C{model} alone.
"""

from distributor.observe.access import ACCESS_FORMAT, AccessLog
from distributor.observe.sparse import Sparse

__all__ = ["ACCESS_FORMAT", "AccessLog", "Sparse"]
