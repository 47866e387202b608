"""A client's utterances: what was sent of each, what was played, and what the server calls it."""

from __future__ import annotations

from dataclasses import dataclass

from .items import Played


@dataclass
class Utterance:
    """One that was begun and is not over."""

    number: int
    """The client's; the server's may differ after a break."""
    sent_s: float = 0.0
    played_s: float = 0.0
    """As counted from frames."""
    started_at_s: float | None = None
    """When the server said that it speaks."""


class Book:
    """Utterances in the order in which they were begun; each leaves it exactly once."""

    def __init__(self) -> None:
        """Begin with none."""
        self.last = 0
        """Number of the one that was begun last; 0 before the first."""
        self._open: dict[int, Utterance] = {}
        """By the server's number, in order."""
        self._next_on_server = 1

    @property
    def is_empty(self) -> bool:
        """Whether all are over."""
        return not self._open

    def begin(self) -> int:
        """Begin one; return its number."""
        self.last += 1
        self._open[self._next_on_server] = Utterance(self.last)
        self._next_on_server += 1
        return self.last

    def sent(self, seconds: float) -> None:
        """Count sound that was sent of the last one."""
        for found in self._open.values():
            if found.number == self.last:
                found.sent_s += seconds

    def speaking(self, on_server: int, now_s: float) -> int | None:
        """Note that one speaks; return its number, ``None`` if it is none of this client."""
        found = self._open.get(on_server)
        if found is None:
            return None
        if found.started_at_s is None:
            found.started_at_s = now_s
        return found.number

    def heard(self, seconds: float) -> None:
        """Count sound of a frame that speaks."""
        found = next(iter(self._open.values()), None)
        if found is not None:
            found.played_s += seconds

    def over(self, on_server: int) -> int | None:
        """Strike one out; return its number, ``None`` if it is none of this client."""
        found = self._open.pop(on_server, None)
        return None if found is None else found.number

    def ahead_s(self, now_s: float | None = None) -> float:
        """Return the seconds that were sent and not played.

        Args:
            now_s: The time, for sessions without frames to count; ``None`` counts frames.
        """
        ahead_s = 0.0
        for found in self._open.values():
            played_s = found.played_s
            if now_s is not None:
                started_at_s = found.started_at_s
                played_s = 0.0 if started_at_s is None else now_s - started_at_s
            ahead_s += max(0.0, found.sent_s - played_s)
        return ahead_s

    def resume(self, last_on_server: int) -> list[Played]:
        """Go on after a break; return those that the server never heard of, as played.

        Args:
            last_on_server: The server's number of the last one that it knows.
        """
        return self._strike([one for one in self._open if one > last_on_server], last_on_server)

    def restart(self) -> list[Played]:
        """Go on with another session; return all that were not over, as played."""
        return self._strike(list(self._open), 0)

    def _strike(self, lost: list[int], last_on_server: int) -> list[Played]:
        self._next_on_server = last_on_server + 1
        gone = [self._open.pop(one) for one in lost]
        return [Played(one.number, one.played_s, interrupted=True) for one in gone]
