"""Saved state of a distillation: small, and enough to resume exactly."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flashtalk_core.errors import require

from ..recipe import DistillRecipe, changed_settings
from ..runs.progress import Average
from ..runs.ranks import from_all, rank
from ..runs.sharding import copy_whole, whole
from ..runs.states import load_notes, load_state, save_state

logger = logging.getLogger(__name__)

STATE = "distill"
"""Name of the state."""
_SQUARES = "exp_avg_sq"
_KEPT = "kept"
_RECIPE = "recipe"
"""Note that identifies the recipe."""


def is_distilled(folder: Path, recipe: DistillRecipe) -> bool:
    """Return whether ``folder`` holds a student of a recipe that is done.

    Raises:
        InvalidInputError: If its state is incomplete, or was trained by another recipe.
    """
    notes = load_notes(folder, STATE)
    if notes is None:
        return False
    _check(folder, recipe, notes)
    return notes["step"] >= recipe.num_steps


def _check(folder: Path, recipe: DistillRecipe, notes: dict[str, float]) -> None:
    """Raise if a state is of another recipe; states of earlier versions do not name theirs."""
    mark = _mark(recipe)
    require(
        notes.get(_RECIPE, mark) == mark and notes["step"] <= recipe.num_steps,
        f"{folder}: holds {notes['step']:.0f} steps of another recipe; use that recipe, "
        f"another --runs, or move {STATE}-*.safetensors away to train again",
    )


def _kept_name(name: str, index: int) -> str:
    """Name what a rank keeps."""
    return f"{_KEPT}.{name}.{index}" if index else f"{_KEPT}.{name}"


def _mark(recipe: DistillRecipe) -> float:
    """Return a whole number that depends on all that decides the first ``num_steps`` steps."""
    settings = changed_settings(dataclasses.replace(recipe, num_steps=0, report_every=0))
    return float(int(hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12], 16))


class DistillState:
    """Weights, the student's average and the optimisers' squares, in half precision when saved.

    The running values are rounded with the saved ones, so a run that is killed and resumed repeats
    the one that was not. The optimisers have no first moment (their first beta is 0).
    """

    def __init__(
        self,
        folder: Path,
        recipe: DistillRecipe,
        student: nn.Module,
        critic: nn.Module,
        student_optimizer: Optimizer,
        critic_optimizer: Optimizer,
        kept: dict[str, Tensor],
    ) -> None:
        """Restore what ``folder`` holds, if anything; ``kept`` goes there and back as it is.

        Raises:
            InvalidInputError: If it was trained by another recipe.
        """
        self._folder, self._recipe, self._kept = folder, recipe, kept
        self._networks = {"student": student, "critic": critic}
        self._optimizers = {"student": student_optimizer, "critic": critic_optimizer}
        self._average = Average(student.parameters(), recipe.ema_decay)
        self.step = 0
        self._num_updates = 0
        saved = load_state(folder, STATE)
        if saved is not None:
            _check(folder, recipe, saved[1])
            self._restore(*saved)
            logger.info("resumed the distillation at step %d", self.step)

    def update_average(self) -> None:
        """Move the average towards the student, after each of its updates."""
        self._average.update(self._num_updates)
        self._num_updates += 1

    @torch.no_grad()
    def save(self) -> None:
        """Write everything, rounded, and round the running values alike.

        Ranks have the same values; the first one writes them, with what each of them keeps.
        """
        tensors: dict[str, Tensor] = {}
        for name, value in self._values().items():
            half = torch.bfloat16 if name.startswith(_SQUARES) else torch.float16
            tensors[name] = whole(value).to(half)
            copy_whole(value, tensors[name])
        for name, value in self._kept.items():
            parts = enumerate(from_all(value))
            tensors |= {_kept_name(name, index): part for index, part in parts}
        notes = {"step": float(self.step), "updates": float(self._num_updates)}
        notes[_RECIPE] = _mark(self._recipe)
        if rank() == 0:
            save_state(self._folder, STATE, tensors, notes)

    @torch.no_grad()
    def _restore(self, tensors: dict[str, Tensor], notes: dict[str, float]) -> None:
        self.step, self._num_updates = int(notes["step"]), int(notes["updates"])
        steps = {"student": self._num_updates, "critic": self.step}
        for role, network in self._networks.items():
            for name, weight in network.named_parameters():
                key = f"{_SQUARES}.{role}.{name}"
                if key in tensors:
                    self._optimizers[role].state[weight] = {
                        "step": torch.tensor(float(steps[role]), device=weight.device),
                        "exp_avg": torch.zeros_like(weight),
                        _SQUARES: torch.zeros_like(weight),
                    }
        for name, value in self._values().items():
            copy_whole(value, tensors[name])
        for name, value in self._kept.items():
            # Earlier versions kept nothing, and more ranks than before have nothing yet.
            value.copy_(tensors.get(_kept_name(name, rank()), value))

    def _values(self) -> dict[str, Tensor]:
        """Return the running tensors by the names they are saved under."""
        values: dict[str, Tensor] = {}
        for role, network in self._networks.items():
            for name, weight in network.named_parameters():
                values[f"{role}.{name}"] = weight.detach()
                moments = self._optimizers[role].state.get(weight, {})
                if _SQUARES in moments:
                    values[f"{_SQUARES}.{role}.{name}"] = moments[_SQUARES]
        names = (name for name, _ in self._networks["student"].named_parameters())
        for name, mean in zip(names, self._average.values, strict=True):
            values[f"average.dit.{name}"] = mean
        return values
