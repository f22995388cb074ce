"""
For work that nobody waits for, and that can wait for the catalogue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from distributor.model import CatalogueUnavailable, Listing

#: How soon the catalogue is asked again, in seconds: first, and at last.
FIRST_DELAY_S = 5.0
LONGEST_DELAY_S = 60.0


class PatientLookup:
    """
    Asks the catalogue until it answers.
    """

    _log = Logger()

    def __init__(self, lookup: Callable[[str], Awaitable[Listing]], clock: IReactorTime) -> None:
        """
        @param lookup: gives the listing of an object that this node distributes.
        """
        self._lookup = lookup
        self._clock = clock

    async def __call__(self, object_id: str) -> Listing:
        """
        The listing of an object, however long that takes. To be cancelled, where it takes too long.

        @raise DistributorError: there is none, and that is certain.
        """
        delay_s = FIRST_DELAY_S
        while True:
            try:
                return await self._lookup(object_id)
            except CatalogueUnavailable as error:
                self._log.warn(
                    "object {id} has to wait {delay:g} s for the catalogue: {error}",
                    id=object_id,
                    delay=delay_s,
                    error=error,
                )
            await deferLater(self._clock, delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
