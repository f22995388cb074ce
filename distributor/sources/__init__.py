"""
Storage nodes: how one is asked for bytes, what makes its answer unusable, and in which order they are tried.

May import C{model}, C{catalogue} and C{observe}.
"""

from distributor.sources.connections import agent, connection_pool
from distributor.sources.round import Round
from distributor.sources.storage_node import Body, SourceError, StorageNodes

__all__ = ["Body", "Round", "SourceError", "StorageNodes", "agent", "connection_pool"]
