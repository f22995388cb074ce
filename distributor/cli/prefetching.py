"""
Following a prefetch: which objects have come, which will not, and which are still to come. Pure.

The node answers an id that it is asked for once more with how it stands; only of one that has failed it would begin
again. So failures are read from its list of them, of which those count that are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, field

from distributor.cli import views, words
from distributor.cli.bars import Bar, of_downloads
from distributor.cli.client import Answer

#: How many ids are asked for at once: they have to stand in the token, and so in the head of the request.
AT_ONCE = 500

_OVER = {"complete", "unknown", "refused"}


@define
class Prefetching:
    """
    What is known of the objects that were asked for.

    @ivar pending: those of which it is not known what becomes of them, in the order in which they were asked for,
        which is that in which the node takes them.
    @ivar outcomes: what the node said last of each.
    """

    pending: list[str]
    outcomes: dict[str, dict[str, object]] = field(factory=dict)
    _failures: int | None = None

    @classmethod
    def of(cls, object_ids: Iterable[str]) -> Prefetching:
        """
        Nothing is known yet.
        """
        return cls(list(dict.fromkeys(object_ids)))

    def took(self, answer: Answer) -> None:
        """
        What C{POST /prefetch} has answered.
        """
        for row in views.rows(answer, "objects"):
            self._note(row.get("objectId"), row.get("state"), row.get("message"))
        self._forget_what_is_over()

    def looked(self, answer: Answer) -> None:
        """
        What C{GET /prefetch} has answered; the first time before anything was asked for.
        """
        counted = int(words.number(answer.get("failed")) or 0)
        new = counted - self._failures if self._failures is not None else 0
        self._failures = counted
        if new > 0:
            for row in views.rows(answer, "failures")[-new:]:
                if row.get("objectId") in self.pending:
                    self._note(row.get("objectId"), row.get("state"), row.get("message"))
        self._forget_what_is_over()

    def _note(self, object_id: object, state: object, message: object) -> None:
        if isinstance(object_id, str) and isinstance(state, str):
            outcome = {"objectId": object_id, "state": state, "message": message}
            self.outcomes[object_id] = {name: value for name, value in outcome.items() if value is not None}

    def _forget_what_is_over(self) -> None:
        self.pending = [each for each in self.pending if self.outcomes.get(each, {}).get("state") not in _OVER]

    def to_ask(self, answer: Answer) -> list[str]:
        """
        Of which to ask next how they stand, after C{GET /prefetch} has answered: the first ones of those that are not
        on their way.
        """
        running = answer.get("running")
        busy = set(map(str, running)) if isinstance(running, list) else set()
        return [each for each in self.pending if each not in busy][:AT_ONCE]

    def bars(self, downloads: Answer) -> list[Bar]:
        """
        One for all of them, and one for each that is on its way.
        """
        total = len(self.pending) + sum(1 for each in self.outcomes.values() if each.get("state") in _OVER)
        done = total - len(self.pending)
        bad = sum(1 for each in self.outcomes.values() if each.get("state") in ("unknown", "refused"))
        note = f"{done} of {total} objects" + (f", {bad} failed" if bad else "")
        wanted = {f"object {each}" for each in self.pending}
        whole = Bar("all", done, total, note, f"{bad} failed" if bad else "")
        return [whole, *(bar for bar in of_downloads(downloads) if bar.name in wanted)]

    def answer(self) -> Answer:
        """
        What has become of all, in the form of the API.
        """
        return {"objects": list(self.outcomes.values())}

    @property
    def failed(self) -> bool:
        """
        Whether any of them will not come.
        """
        return any(outcome.get("state") in ("unknown", "refused") for outcome in self.outcomes.values())


def batches(object_ids: Sequence[str]) -> list[list[str]]:
    """
    As many at once as fit into a request.
    """
    return [list(object_ids[start : start + AT_ONCE]) for start in range(0, len(object_ids), AT_ONCE)]
