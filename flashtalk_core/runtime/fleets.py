"""Which devices of this process are taken by which fleet."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
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
            fleet = Fleet(devices, limits, self.check)
            self._fleets.add(fleet)
            return fleet

    def check(self, fleet: Fleet) -> None:
        """Check that no other fleet that runs has a GPU of ``fleet``.

        Raises:
            InvalidInputError: If one has.
        """
        with self._lock:
            others = [each for each in self._fleets if each is not fleet and each.is_running]
        for other in others:
            common = [name for name in fleet.devices if name in other.devices and name != "cpu"]
            if common and not other.holds_weights:
                other.end_idle()  # its processes only wait for a next render
            if common and other.is_running:
                raise InvalidInputError(
                    f"devices {', '.join(fleet.devices)}: {', '.join(common)} belongs to devices "
                    f"{', '.join(other.devices)}, which hold a model; free that, or use others",
                    subject="devices",
                )


@cache
def fleets() -> Fleets:
    """Return the fleets of this process."""
    return Fleets()
