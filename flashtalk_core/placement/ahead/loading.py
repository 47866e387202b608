"""Networks that are loaded in a thread while others run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from torch import nn

from ..load import LoadedNetwork

_Loaded = Future[LoadedNetwork[Any]]


class LoadAhead:
    """Loads networks in order, in a thread of its own: building them keeps one core busy.

    A network that cannot be loaded raises when it is taken.
    """

    def __init__(self, load: Callable[[type[nn.Module]], LoadedNetwork[Any]]) -> None:
        """Load nothing yet; ``load`` returns the network of a class."""
        self._load = load
        self._begun: dict[type[nn.Module], _Loaded] = {}

    def begin(self, kinds: Iterable[type[nn.Module]]) -> None:
        """Begin to load networks; return at once."""
        begun = {kind: _Loaded() for kind in kinds}
        self._begun |= begun
        threading.Thread(target=self._run, args=(begun,), name="load ahead", daemon=True).start()

    def take(self, kind: type[nn.Module]) -> LoadedNetwork[Any] | None:
        """Wait for a network and hand it over; ``None`` if it is not being loaded."""
        begun = self._begun.pop(kind, None)
        return None if begun is None else begun.result()

    def _run(self, begun: Mapping[type[nn.Module], _Loaded]) -> None:
        for kind, loaded in begun.items():
            try:
                loaded.set_result(self._load(kind))
            except BaseException as error:  # raised where the network is needed
                loaded.set_exception(error)
