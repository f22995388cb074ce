"""
Tests for L{distributor.transfer.copies}.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from distributor.model import StorageNode
from distributor.transfer.copies import Copies
from distributor.transfer.extents import Extents

A, B, C = (StorageNode(name, f"http://{name}.example/") for name in "abc")


def part(start: int, stop: int) -> Extents:
    """
    One run of bytes.
    """
    return Extents(((start, stop),))


WHOLE = part(0, 100)


class CopiesTests(SynchronousTestCase):
    """
    Who is asked for the next copy, and who is blamed.
    """

    def setUp(self) -> None:
        self.blamed: list[StorageNode] = []
        self.parts: list[Extents] = []

    def blame(self, node: StorageNode, part: Extents) -> None:
        """
        It gave wrong bytes.
        """
        self.blamed.append(node)
        self.parts.append(part)

    def next(self, copies: Copies, brought: Mapping[StorageNode, Extents]) -> StorageNode | None:
        """
        A copy was wrong.
        """
        return copies.next(brought, self.blame)

    def test_one_gave_all(self) -> None:
        """
        Who gave all of a wrong copy is blamed at once, and is not asked for another.
        """
        copies = Copies((A, B, C))
        self.assertEqual(self.next(copies, {A: WHOLE}), B)
        self.assertEqual((self.blamed, self.parts), ([A], [WHOLE]))
        self.assertEqual(self.next(copies, {B: WHOLE}), C)
        self.assertEqual(self.next(copies, {C: WHOLE}), None)
        self.assertEqual(self.blamed, [A, B, C])

    def test_several_had_a_part(self) -> None:
        """
        Of several nobody is blamed yet, those that had no part are asked first, then each of them alone.
        """
        copies = Copies((A, B, C))
        self.assertEqual(self.next(copies, {A: part(0, 50), B: part(50, 100)}), C)
        self.assertEqual(self.blamed, [])
        self.assertEqual([self.next(copies, {C: WHOLE}), self.next(copies, {A: WHOLE})], [A, B])
        self.assertEqual(self.next(copies, {B: WHOLE}), None)
        self.assertEqual(self.blamed, [C, A, B])

    def test_told_apart(self) -> None:
        """
        Those who brought what a right copy has otherwise are blamed, each once, and nobody else.
        """
        copies = Copies((A, B, C))
        parts = {A: Extents(((0, 20), (40, 60))), B: Extents(((20, 40), (60, 100)))}
        self.next(copies, parts)
        copies.tell_apart(Extents(((30, 31), (39, 40), (70, 80))), self.blame)
        self.assertEqual((self.blamed, self.parts), ([B], [parts[B]]))

    def test_all_of_them(self) -> None:
        """
        Several may have lied.
        """
        copies = Copies((A, B, C))
        self.next(copies, {A: part(0, 50), B: part(50, 100)})
        copies.tell_apart(part(49, 51), self.blame)
        self.assertEqual(self.blamed, [A, B])

    def test_from_before(self) -> None:
        """
        Where a part was there already, the one who gave the rest is not to blame for that, and is as good as any.
        """
        copies = Copies((A,), inherited=True)
        self.assertEqual(self.next(copies, {A: part(50, 100)}), A)
        self.assertEqual(self.blamed, [])
        copies.tell_apart(part(10, 20), self.blame)
        self.assertEqual(self.blamed, [])
        copies.tell_apart(part(60, 61), self.blame)
        self.assertEqual(self.blamed, [A])

    def test_from_before_alone(self) -> None:
        """
        A file that was there already is nobody's fault; all can be asked, and the first of them that lies is to blame.
        """
        copies = Copies((A, B), inherited=True)
        self.assertEqual(self.next(copies, {}), A)
        self.assertEqual(self.next(copies, {A: WHOLE}), B)
        self.assertEqual(self.blamed, [A])

    def test_a_copy_that_did_not_come(self) -> None:
        """
        Nobody is blamed for a copy that did not come, and the next one is asked.
        """
        copies = Copies((A, B, C))
        self.next(copies, {A: WHOLE})
        self.assertEqual(self.next(copies, {}), C)
        self.assertEqual(self.blamed, [A])
