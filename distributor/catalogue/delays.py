"""
For how long a query node is left alone after it has failed.

Pure.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Delay:
    """
    Doubles with each failure.

    @ivar failures: in a row.
    @ivar until: when it ends, in seconds of whichever clock is used.
    """

    first_s: float
    longest_s: float
    failures: int = 0
    until: float = float("-inf")

    def holds(self, now: float) -> bool:
        """
        Whether to wait still.
        """
        return now < self.until

    def failed(self, now: float) -> Delay:
        """
        After a failure. Those of questions that were under way when the delay began tell nothing new.
        """
        if self.holds(now):
            return self
        # An exponent without bound would not fit into a float some day.
        delay_s = min(self.longest_s, self.first_s * 2 ** min(self.failures, 30))
        return Delay(self.first_s, self.longest_s, self.failures + 1, now + delay_s)

    def succeeded(self) -> Delay:
        """
        After a success.
        """
        return Delay(self.first_s, self.longest_s) if self.failures else self
