"""
Storage nodes: how one is asked for bytes, what makes its answer unusable, and in which order they are tried.

May import C{model}, C{catalogue} and C{observe}.
"""

from distributor.sources.answer import Body, SourceError
from distributor.sources.connections import Connections
from distributor.sources.race import Won
from distributor.sources.round import Round
from distributor.sources.storage_node import Agents, StorageNodes
from distributor.sources.versions import VersionChecks

__all__ = ["Agents", "Body", "Connections", "Round", "SourceError", "StorageNodes", "VersionChecks", "Won"]
