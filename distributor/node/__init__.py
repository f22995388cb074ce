"""
What a request is answered from: the store, else a download in progress, else the catalogue and the storage nodes.

May import C{delivery}, C{transfer}, C{cache}, C{sources}, C{catalogue}, C{observe} and C{model}.
"""

from distributor.node.node import Catalogue, Node
from distributor.node.opened import Found, Opened, Supply
from distributor.node.ownership import Ownership
from distributor.node.passages import Passages
from distributor.node.shelf import Shelf

__all__ = ["Catalogue", "Found", "Node", "Opened", "Ownership", "Passages", "Shelf", "Supply"]
