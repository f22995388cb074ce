"""
Answers of the short way that wait for a download.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from distributor.model import DistributorError
from distributor.transfer import IDownloadReader
from distributor.web.asset import Vain
from distributor.web.channel import Channel
from distributor.web.fast.hits import Hits
from distributor.web.fast.prepared import Decided
from distributor.web.fast.visit import Visit


class WaitingVisit(Visit):
    """
    One that begins once there is something to begin with. It is let in before it waits.
    """

    _log = Logger()

    _reader: IDownloadReader

    def __init__(
        self, channel: Channel, hits: Hits, decided: Decided, asked_as: str, reader: IDownloadReader, waited_s: float
    ) -> None:
        """
        @param reader: to be waited for; this closes it.
        @param waited_s: for how long the request has waited already.
        """
        super().__init__(channel, hits, decided, asked_as, None, reader, waited_s)
        self._waited_s = None

    async def run_late(self) -> Vain | None:
        """
        Wait, and answer. Called once, instead of L{run}.

        @return: where there is nothing to wait for any more, why: nothing has been sent, and somebody else is to
            answer in its place; else L{give_up} is called.
        """
        plain, wanted = self.decided.plain, self.decided.wanted
        assert wanted is not None
        try:
            await self._hits.node.wait(self._reader, wanted.start)
            self.decided = self._hits.coming.settled(self.decided, self._reader)
            self._waited_s = self.waits_s
            answering = self.run()
        except DistributorError as error:
            self._reader.close()
            return Vain(self.decided.prepared.found, error, self)
        except CancelledError:
            # The client has gone.
            self.give_up()
            return None
        except Exception:
            self._log.failure("request {request_id} failed", request_id=self._id)
            self.give_up()
            return None
        self._hits.coming.crowds.let_go(plain)
        if answering is not None:
            await answering
        return None

    @property
    def waits_s(self) -> float:
        """
        How long ago the request came, in seconds.
        """
        return self._hits.assets.clock.seconds() - self._began
