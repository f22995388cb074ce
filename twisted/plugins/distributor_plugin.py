"""
What C{twistd} lists; L{distributor.tap} is imported only when one of them is asked for.
"""

from twisted.application.service import ServiceMaker

distributor = ServiceMaker("distributor", "distributor.tap", "A node that serves media objects.", "distributor")
storage_node = ServiceMaker(
    "storage-node", "distributor.tap.StorageNode", "A storage node over a folder, for development.", "storage-node"
)
