"""
Tests for L{distributor.web.operator_site}.
"""

from __future__ import annotations

from distributor.web import operator_errors
from distributor.web.operator_request import LARGEST_BODY
from tests.web.test_operator_api import BASE, OperatorCase


class SizeTests(OperatorCase):
    """
    How large requests may be.
    """

    def test_large(self) -> None:
        """
        A body that is too large is not kept, and refused; the connection goes on.
        """
        visit = self.api.visit()
        content = b" " * (LARGEST_BODY + 1)
        fields = (f"Content-Length: {len(content)}", "Content-Type: application/json")
        self.api.send_raw(visit, "POST", f"{BASE}/prefetch", *fields, content=content)
        self.assert_error(visit.answers[0], operator_errors.BODY_TOO_LARGE)
        self.api.send(visit, "GET", f"{BASE}/status")
        self.assertEqual(visit.answers[1].status, 200)

    def test_largest(self) -> None:
        """
        As large as may be, it is taken: token and all.
        """
        ids = [str(10**19 + number) for number in range(2000)]
        self.operations.answers["prefetch"] = {"objects": []}
        self.assertEqual(self.api.ask("POST", f"{BASE}/prefetch", {"objects": ids}).status, 200)
        self.assertEqual(self.operations.asked, [("prefetch", (tuple(ids),))])

    def test_endless(self) -> None:
        """
        Who goes on sending is cut off; nothing of it was kept.
        """
        visit = self.api.visit()
        self.api.send_raw(visit, "POST", f"{BASE}/prefetch", "Transfer-Encoding: chunked")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        sent = 0
        while visit.wire.protocol is not None and sent < 100:
            visit.wire.protocol.dataReceived(chunk)
            self.api.settle()
            sent += 1
        self.assertEqual(visit.wire.ended, "cut")
        self.assertLess(sent, 20)
