"""
How the node tells of itself: what is logged sparingly, and what the service manager is told.

May import C{model} alone.
"""

from distributor.observe.access import AccessLog
from distributor.observe.sparse import Sparse

__all__ = ["AccessLog", "Sparse"]
