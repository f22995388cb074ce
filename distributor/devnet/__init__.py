"""
A storage node to develop against, and the built-in library that a node without configuration serves. For development,
demonstrations and tests; C{tap} alone may import this room, which itself imports C{model} and nothing else.
"""

from distributor.devnet.body import ServedRequest
from distributor.devnet.faults import Cut, Drip, Ending, Fault, Faults
from distributor.devnet.folder import media_in
from distributor.devnet.library import Exhibit, exhibits, library_files, library_manifest
from distributor.devnet.media_file import MediaFile
from distributor.devnet.service import DemoStorageNode, NodeService, storage_node_service
from distributor.devnet.storage_node import StorageNode

__all__ = [
    "Cut",
    "DemoStorageNode",
    "Drip",
    "Ending",
    "Exhibit",
    "Fault",
    "Faults",
    "MediaFile",
    "NodeService",
    "ServedRequest",
    "StorageNode",
    "exhibits",
    "library_files",
    "library_manifest",
    "media_in",
    "storage_node_service",
]
