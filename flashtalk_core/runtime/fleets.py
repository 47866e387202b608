"""Which devices of this process are taken by which fleet."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock

from ..errors import InvalidInputError
from .fleet import Fleet
from .limits import Limits


class Fleets:
    """The fleets of one process; those without a device in common run side by side."""

    def __init__(self) -> None:
        """Start without fleets."""
        self._lock = Lock()
        self._fleets: weakref.WeakSet[Fleet] = weakref.WeakSet()
        self._starting: set[tuple[str, ...]] = set()
        """Devices of each fleet whose processes start; none of them overlap."""

    def get(self, devices: Sequence[str], limits: Limits | None = None) -> Fleet:
        """Return the fleet of these devices, in this order; it lives as long as it is referred to.

        Args:
            devices: One for each rank.
            limits: Of a new fleet.
        """
        with self._lock:
            for fleet in self._fleets:
                if fleet.devices == tuple(devices):
                    return fleet
            fleet = Fleet(devices, limits, self.reserve)
            self._fleets.add(fleet)
            return fleet

    @contextmanager
    def reserve(self, fleet: Fleet) -> Iterator[None]:
        """Hold the GPUs of ``fleet`` while its processes start.

        Raises:
            InvalidInputError: If one of them is of another fleet that runs or starts.
        """
        with self._lock:
            for devices in self._starting:
                if common := _common(fleet.devices, devices):
                    raise InvalidInputError(
                        f"devices {', '.join(fleet.devices)}: {', '.join(common)} belongs to "
                        f"devices {', '.join(devices)}, whose processes start; use others",
                        subject="devices",
                    )
            self._starting.add(fleet.devices)
        try:
            self.check(fleet)
            yield
        finally:
            with self._lock:
                self._starting.discard(fleet.devices)

    def check(self, fleet: Fleet) -> None:
        """Check that no other fleet that runs has a GPU of ``fleet``.

        Raises:
            InvalidInputError: If one has.
        """
        with self._lock:
            others = [each for each in self._fleets if each is not fleet and each.is_running]
        for other in others:
            common = _common(fleet.devices, other.devices)
            if common and not other.holds_weights:
                other.end_idle()  # its processes only wait for a next render
            if common and other.is_running:
                raise InvalidInputError(
                    f"devices {', '.join(fleet.devices)}: {', '.join(common)} belongs to devices "
                    f"{', '.join(other.devices)}, which hold a model; free that, or use others",
                    subject="devices",
                )


def _common(devices: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the GPUs that are in both."""
    return [name for name in devices if name in others and name != "cpu"]


@cache
def fleets() -> Fleets:
    """Return the fleets of this process."""
    return Fleets()
