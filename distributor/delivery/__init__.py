"""
From a reader to a transport: producers that respect back-pressure, and never make the reactor wait for a disk.

May import C{transfer} and the rooms below it.
"""

from distributor.delivery.answer_body import Channel, deliver, new_pump

__all__ = ["Channel", "deliver", "new_pump"]
