"""State of a distillation that is saved, small enough to travel, and gone on with exactly."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .progress import Average
from .states import load_state, save_state

logger = logging.getLogger(__name__)

STATE = "distill"
"""Name of the state."""
_SQUARES = "exp_avg_sq"
_KEPT = "kept"


class DistillState:
    """Weights, the student's average and the optimisers' squares, in half precision when saved.

    What is saved is what is gone on with: the running values are rounded with the saved ones, so
    a run that is killed and resumed repeats the one that was not. The optimisers have no first
    moment (their first beta is 0).
    """

    def __init__(
        self,
        folder: Path,
        student: nn.Module,
        critic: nn.Module,
        student_optimizer: Optimizer,
        critic_optimizer: Optimizer,
        ema_decay: float,
        kept: dict[str, Tensor],
    ) -> None:
        """Restore what ``folder`` holds, if anything; ``kept`` goes there and back as it is."""
        self._folder, self._kept = folder, kept
        self._networks = {"student": student, "critic": critic}
        self._optimizers = {"student": student_optimizer, "critic": critic_optimizer}
        self._average = Average(student.parameters(), ema_decay)
        self.step = 0
        self._num_updates = 0
        saved = load_state(folder, STATE)
        if saved is not None:
            self._restore(*saved)
            logger.info("resumed the distillation at step %d", self.step)

    def update_average(self) -> None:
        """Move the average towards the student, after each of its updates."""
        self._average.update(self._num_updates)
        self._num_updates += 1

    @torch.no_grad()
    def save(self) -> None:
        """Write everything, rounded, and round the running values alike."""
        tensors: dict[str, Tensor] = {}
        for name, value in self._values().items():
            half = torch.bfloat16 if name.startswith(_SQUARES) else torch.float16
            tensors[name] = value.to(half)
            value.copy_(tensors[name])
        tensors |= {f"{_KEPT}.{name}": value for name, value in self._kept.items()}
        notes = {"step": float(self.step), "updates": float(self._num_updates)}
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
            value.copy_(tensors[name])
        for name, value in self._kept.items():
            value.copy_(tensors[f"{_KEPT}.{name}"])

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
