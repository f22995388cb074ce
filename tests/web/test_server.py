"""
Tests for L{distributor.web.server}, through the server of the operator's API.
"""

from __future__ import annotations

from tests.web.test_operator_api import OperatorCase


class ServerTests(OperatorCase):
    """
    The end of the server.
    """

    def test_close(self) -> None:
        """
        It is closed when every connection has ended.
        """
        self.successResultOf(self.api.site.close())
        visits = [self.api.visit() for _ in range(3)]
        closed = self.api.site.close()
        self.assertNoResult(closed)
        self.api.settle()
        self.successResultOf(closed)
        self.assertEqual([visit.wire.ended for visit in visits], ["closed"] * 3)

    def test_cut(self) -> None:
        """
        Or they are cut.
        """
        visit = self.api.visit()
        self.api.site.cut()
        self.api.settle()
        self.assertEqual(visit.wire.ended, "cut")
        self.successResultOf(self.api.site.close())
