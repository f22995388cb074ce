"""
Builds the node and hands its parts to one another; starts and stops them in order.

The only place that knows all rooms below; may import any of them.
"""

from distributor.service.adoption import Adoption
from distributor.service.distributor import Distributor
from distributor.service.inherited import Inherited
from distributor.service.trouble import CannotStart, why
from distributor.service.worker import WorkerService

__all__ = ["Adoption", "CannotStart", "Distributor", "Inherited", "WorkerService", "why"]
