"""Compiled kernels of a run, so that the next start on the same kind of machine compiles nothing.

They are kept beside the run's states, in files as small as theirs. They hold code that is executed
when they are loaded: a folder of runs from somebody else should come without ``kernels-*``.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path

import torch
from torch import Tensor

from flashtalk_core.errors import InvalidInputError

from .states import load_notes, load_state, save_state

logger = logging.getLogger(__name__)

_STATE = "kernels"
_PART_BYTES = 14_000_000
"""Length of a piece, a tensor of its own: shards are split between tensors."""
_MACHINE = "machine"
"""Note that identifies device and torch."""


class KernelCache:
    """What ``torch.compile`` has made in this process, and what an earlier one had."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        """Take what ``folder`` holds, if it was made on such a device; nothing is executed yet.

        Kernels that cannot be used are reported and compiled again.
        """
        self._folder, self._machine = folder, _machine(device)
        self._is_saved = False
        self._known: set[str] = set()
        try:
            self._load()
        except InvalidInputError as error:
            logger.warning("compiling anew: %s", error)

    def _load(self) -> None:
        notes = load_notes(self._folder, _STATE)
        if notes is None or notes.get(_MACHINE) != self._machine:
            return
        saved = load_state(self._folder, _STATE)
        assert saved is not None
        start = time.monotonic()
        parts = [saved[0][f"part.{index}"] for index in range(len(saved[0]))]
        info = torch.compiler.load_cache_artifacts(torch.cat(parts).numpy().tobytes())
        if info is None:
            logger.warning("%s: kernels are of another torch; compiling anew", self._folder)
            return
        self._known = _keys(info.artifacts)
        logger.info(
            "took %d compiled parts from %s in %.1f s",
            len(self._known), self._folder, time.monotonic() - start,
        )  # fmt: skip

    def save(self) -> None:
        """Write what has been compiled so far, at the first call, unless all of it was known."""
        if self._is_saved:
            return
        self._is_saved = True
        made = torch.compiler.save_cache_artifacts()
        if made is None or _keys(made[1].artifacts) <= self._known:
            return
        data = torch.frombuffer(bytearray(made[0]), dtype=torch.uint8)
        parts: dict[str, Tensor] = {
            f"part.{index}": part for index, part in enumerate(data.split(_PART_BYTES))
        }
        save_state(self._folder, _STATE, parts, {"step": 0.0, _MACHINE: self._machine})
        logger.info("kept %.1f MB of compiled kernels in %s", len(data) / 1e6, self._folder)


def _keys(artifacts: dict[str, list[str]]) -> set[str]:
    return {f"{kind} {key}" for kind, keys in artifacts.items() for key in keys}


def _machine(device: torch.device) -> float:
    """Return a whole number that depends on device and torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    text = f"{name} {torch.__version__}"
    return float(int(hashlib.sha256(text.encode()).hexdigest()[:12], 16))
