"""
The combinations of the matrix: who reads what, from how many storage nodes, what may come of it, and what did.
"""

from __future__ import annotations

import json
import random
from collections import Counter

from attrs import define, field, frozen

from distributor.devnet import ServedRequest
from distributor.model import ByteRange
from tests.integration.faulty import IN_FLIGHT, FaultyStorage, Trouble, given_up, was_reset
from tests.integration.raw_http import Answer

MIB = 1024 * 1024

#: Of the object: enough that its end is a seek, and no multiple of anything.
SIZE = 3 * MIB + 777

READINGS = ("whole", "first MiB", "last MiB", "random ranges", "32 mixed")

#: What a reader got, as the table says it.
RIGHT = "right"
CUT = "cut"
SPOILT = "spoilt"
WRONG = "WRONG"
HUNG = "HUNG"


@frozen
class Wanted:
    """
    What one reader asks for.

    @ivar range: L{None}: the whole object, without a C{Range}.
    """

    range: ByteRange | None

    @property
    def span(self) -> ByteRange:
        """
        The bytes that it is to get.
        """
        return self.range or ByteRange(0, SIZE)

    @property
    def header(self) -> str | None:
        """
        The C{Range} to send.
        """
        return None if self.range is None else f"bytes={self.range.start}-{self.range.stop - 1}"


def readers(reading: str) -> list[Wanted]:
    """
    Those who read at once; the same ones in each run.
    """
    chosen = random.Random(reading)
    whole, first, last = Wanted(None), Wanted(ByteRange(0, MIB)), Wanted(ByteRange(SIZE - MIB, SIZE))

    def somewhere() -> Wanted:
        start = chosen.randrange(SIZE - 1)
        return Wanted(ByteRange(start, min(SIZE, start + chosen.randrange(1, MIB // 2))))

    match reading:
        case "whole":
            return [whole]
        case "first MiB":
            return [first]
        case "last MiB":
            return [last]
        case "random ranges":
            return [somewhere() for _ in range(4)]
        case _:
            mixed = [whole] * 6 + [first] * 6 + [last] * 6 + [somewhere() for _ in range(14)]
            chosen.shuffle(mixed)
            return mixed


@frozen(eq=False)
class Combination:
    """
    One field of the matrix.

    @ivar object_id: its own, so that nothing is shared with another.
    @ivar killed: the node is killed while it downloads; what counts is what is read afterwards.
    @ivar faulty: the storage node that is asked first.
    @ivar honest: the other one, if there is one.
    """

    trouble: Trouble
    reading: str
    killed: bool
    object_id: str
    faulty: FaultyStorage
    honest: FaultyStorage | None

    def __str__(self) -> str:
        nodes = "one node" if self.honest is None else "two nodes"
        return f"{self.trouble.name}, {nodes}, {self.reading}{', killed' if self.killed else ''}"

    @property
    def storage(self) -> list[FaultyStorage]:
        """
        All storage nodes that have the object.
        """
        return [self.faulty] if self.honest is None else [self.faulty, self.honest]

    @property
    def sent(self) -> int:
        """
        Bytes of the object that storage nodes have sent.
        """
        return sum(request.sent for storage in self.storage for request in storage.requests)

    @property
    def request_count(self) -> int:
        """
        How many requests they got.
        """
        return sum(len(storage.requests) for storage in self.storage)

    @property
    def healed_later(self) -> bool:
        """
        Whether readers wait for the only storage node, which has given something and gives nothing any more.
        """
        if self.honest is not None:
            return False
        # Of the whole, which is asked for without a Range, something had come when the node was killed.
        whole_came = self.trouble.fault.content_range is not None and self.reading in ("whole", "32 mixed")
        return self.trouble.alone == "later" or (self.killed and whole_came)

    def may_get(self, wanted: Wanted) -> set[str]:
        """
        What may come of an answer. Where there are several possibilities, it depends on whether something was found to
        be wrong before or after a byte had been sent.
        """
        if self.trouble.fault.flip_at is not None:
            return self._may_get_of_wrong_bytes(wanted.span, self.trouble.fault.flip_at)
        error = str(self.trouble.error)
        if self.honest is not None or self.trouble.alone != "nothing":
            return {RIGHT}
        if self.trouble.fault.content_range is not None and self.reading in ("whole", "32 mixed"):
            # The whole is asked for without a Range, and got: by the readers for whom that is asked for. Where nothing
            # had been recorded before the node was killed, it does not wait.
            return {RIGHT, error} if self.reading == "32 mixed" or self.killed else {RIGHT}
        return {error}

    def _may_get_of_wrong_bytes(self, span: ByteRange, flip_at: int) -> set[str]:
        to_the_end = span.stop == SIZE
        spoilt = span.start <= flip_at < span.stop
        if self.honest is None:
            if to_the_end:
                return {CUT, "502"}
            # Nobody can know that a range is wrong before the whole is there.
            return {SPOILT if spoilt else RIGHT, CUT, "502"}
        if not spoilt or flip_at == SIZE - 1:
            # The last byte is not sent before it is known to be right.
            return {RIGHT}
        return {RIGHT, CUT} if to_the_end else {RIGHT, SPOILT, CUT}

    def most_sent(self, recorded: int) -> int:
        """
        How many bytes storage nodes may send until the whole object is there, for readers and all.

        @param recorded: bytes that are there already.
        """
        copies = 1
        if self.trouble.fault.flip_at is not None:
            # Where several had a part in the wrong copy, each is asked for one of its own.
            copies = 2 if self.reading in ("whole", "first MiB") and not self.killed else 3
        requests = [(storage, request) for storage in self.storage for request in storage.requests]
        lost = 0
        for storage, request in requests:
            if (
                storage.trouble.wasteful
                or given_up(request, storage.trouble)
                or any(_cuts_into(other, request) for _, other in requests)
            ):
                lost += min(request.sent, IN_FLIGHT)
            elif was_reset(request, storage.trouble):
                # What had not been read was thrown away.
                lost += request.sent
        return copies * SIZE - recorded + lost


def _cuts_into(seek: ServedRequest, request: ServedRequest) -> bool:
    """
    Whether one request asks for what another one would have brought, had it been let go on: that may have been on its
    way to its end.
    """
    return (
        seek.asked is not None
        and request.asked is not None
        and request.asked.start < seek.asked.start < request.asked.stop
    )


@define
class Seen:
    """
    What came of one combination.

    @ivar got: what each reader got, in its order.
    @ivar recorded: bytes that the index had when the node was killed.
    @ivar sent: bytes from storage nodes for the whole object, or for what was missing of it when the node was started
        again.
    @ivar sent_before: bytes from storage nodes until the node was killed.
    @ivar problems: what should not be.
    """

    combination: Combination
    got: list[str] = field(factory=list)
    recorded: int = 0
    sent: int = 0
    sent_before: int = 0
    problems: list[str] = field(factory=list)

    def __str__(self) -> str:
        """
        As the table has it.
        """
        counts = Counter(self.got)
        got = ", ".join(f"{count} {what}" if len(self.got) > 1 else what for what, count in sorted(counts.items()))
        if len(counts) == 1 and len(self.got) > 1:
            got = f"all {self.got[0]}"
        return f"{got}; {(self.sent_before + self.sent) / SIZE:.2f}"

    def check(self, right: bool, problem: str) -> None:
        """
        Note a problem, unless all is right.
        """
        if not right:
            self.problems.append(f"{self.combination}: {problem}")


def judge(answer: Answer, wanted: Wanted, content: bytes, spoilt: bytes) -> str:
    """
    What a reader got.

    @param spoilt: the object with its wrong byte.
    """
    if not answer.ended:
        return HUNG
    if answer.status == 0:
        return CUT
    if answer.status not in (200, 206):
        return _judge_error(answer)
    span = wanted.span
    right, false = content[span.start : span.stop], spoilt[span.start : span.stop]
    if not _head_is_right(answer, wanted):
        return WRONG
    if answer.complete:
        return RIGHT if answer.body == right else SPOILT if answer.body == false else WRONG
    return CUT if right.startswith(answer.body) or false.startswith(answer.body) else WRONG


def _head_is_right(answer: Answer, wanted: Wanted) -> bool:
    length = str(len(wanted.span))
    expected: tuple[int, str | None, str] = (200, None, length)
    if wanted.range is not None:
        expected = (206, f"bytes {wanted.range.start}-{wanted.range.stop - 1}/{SIZE}", length)
    return (answer.status, answer.headers.get("content-range"), answer.headers.get("content-length")) == expected


def _judge_error(answer: Answer) -> str:
    if not answer.complete or answer.headers.get("content-type") != "application/json":
        return WRONG
    try:
        told = json.loads(answer.body)
    except ValueError:
        return WRONG
    return str(answer.status) if set(told) == {"type", "message"} else WRONG
