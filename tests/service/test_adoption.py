"""
Tests for L{distributor.service.adoption}.
"""

from __future__ import annotations

from distributor.catalogue import parse_manifest
from distributor.config import Directories
from distributor.service import Adoption
from distributor.transfer import Checked
from tests.service_in_memory import CONTENT, ServiceCase


class AdoptionTests(ServiceCase):
    """
    Files that another program has left.
    """

    def setUp(self) -> None:
        super().setUp()
        self.progress: list[Checked] = []
        self.ended = 0

    def adopting(self) -> Adoption:
        """
        One that has begun.
        """

        def end() -> None:
            self.ended += 1

        adoption = Adoption(
            self.clock,
            self.config(),
            Directories(assets=self.assets, cache_state=self.directory / "state"),
            lambda: parse_manifest(self.written, "manifest.yml"),
            self.progress.append,
            end,
            self.given_up.append,
        )
        adoption.startService()
        self.settle()
        return adoption

    def test_adopts(self) -> None:
        """
        It verifies them, and ends.
        """
        self.assets.mkdir(parents=True)
        (self.assets / "7").write_bytes(CONTENT)
        adoption = self.adopting()
        self.assertEqual((self.ended, self.given_up), (1, []))
        self.assertEqual((self.progress[-1].checked, self.progress[-1].bad), (1, ()))
        self.successResultOf(adoption.stopService())
        adoption._parts.lock.release()
        node = self.started()
        self.assertEqual(self.ask()["X-Cache"], "hit")
        self.stopped(node)

    def test_stopped_while_it_looks_at_files(self) -> None:
        """
        It does not wait until a slow disk has been looked at.
        """
        self.slow_disk()
        adoption = self.adopting()
        done = adoption.stopService()
        self.settle()
        self.assertNoResult(done)
        self.advance(1)
        self.successResultOf(done)
        self.assertEqual((self.ended, self.given_up, self.clock.getDelayedCalls()), (0, [], []))
        adoption._parts.lock.release()
