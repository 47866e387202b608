"""The loop all trainers share: optimise, average, report, save, resume."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..recipe import OptimiserRecipe
from .curves import Curve
from .progress import Average, Clock, learning_rate
from .seeds import part_seed
from .states import load_state, save_state

logger = logging.getLogger(__name__)

_MOMENTS = ("exp_avg", "exp_avg_sq")
_MAX_GRADIENT_NORM = 1.0


class Moment(NamedTuple):
    """Where a run stands."""

    step: int
    progress: float
    """Share of the budget spent, 0 to 1."""


Loss = Callable[[Moment], Tensor]
"""Draws a batch and returns its loss."""
Report = Callable[[], dict[str, float]]
"""Measures the averaged weights."""


class TrainingRun:
    """One network's training, which goes on where an earlier part stopped."""

    def __init__(
        self, name: str, model: nn.Module, recipe: OptimiserRecipe, folder: Path, seed: int
    ) -> None:
        """Prepare, and resume if ``folder`` holds a state called ``name``.

        Args:
            name: Of the stage.
            model: The network, with its first weights.
            recipe: How to optimise.
            folder: Where states and the curve are kept.
            seed: Of the stage; together with the step it seeds a part's draws.

        Raises:
            InvalidInputError: If the state is incomplete.
        """
        self._name, self._model, self._recipe, self._folder = name, model, recipe, folder
        self._seed = seed
        parameters = list(model.parameters())
        self._optimizer = torch.optim.AdamW(
            parameters,
            lr=recipe.learning_rate,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=parameters[0].device.type == "cuda",
        )
        self._average = Average(parameters, recipe.ema_decay)
        self._curve = Curve(folder / f"{name}.csv")
        self.step = 0
        self._spent_s = 0.0
        saved = load_state(folder, name)
        if saved is not None:
            self._restore(*saved)
        self._curve.cut("step", self.step)

    def run(
        self,
        budget_s: float,
        part_s: float,
        loss: Loss,
        report: Report,
        now: Callable[[], float] = time.monotonic,
    ) -> bool:
        """Train for one part of the budget; what was trained is saved whatever ends the part.

        Args:
            budget_s: Whole training time.
            part_s: Longest time of this part.
            loss: Called once a step.
            report: Called with the averaged weights in the network.
            now: Clock, in seconds.

        Returns:
            Whether the budget is spent.
        """
        torch.manual_seed(part_seed(self._seed, self.step))
        clock = Clock(budget_s, part_s, self._spent_s, now)
        first = self.step
        try:
            while not clock.is_over():
                value = self._train_step(clock, loss)
                if self.step % self._recipe.report_every == 0:
                    self._report(value, clock, report)
                if self.step % (self._recipe.report_every * self._recipe.save_every) == 0:
                    self._save(clock)
        finally:
            if self.step > first:
                self._save(clock)
        return self._spent_s >= budget_s

    def _train_step(self, clock: Clock, loss: Loss) -> Tensor:
        recipe = self._recipe
        rate = learning_rate(recipe.learning_rate, self.step, recipe.warmup_steps, clock.progress())
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        value = loss(Moment(self.step, clock.progress()))
        self._optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._average.update(self.step)
        self.step += 1
        return value

    def _save(self, clock: Clock) -> None:
        self._spent_s = clock.spent_s()
        notes = {"step": float(self.step), "spent_s": self._spent_s}
        save_state(self._folder, self._name, self._tensors(), notes)

    @torch.no_grad()
    def _report(self, loss: Tensor, clock: Clock, report: Report) -> None:
        self._average.swap()
        try:
            values = report()
        finally:
            self._average.swap()
        self._curve.add(step=self.step, time_s=clock.spent_s(), loss=loss.item(), **values)

    def _tensors(self) -> dict[str, Tensor]:
        """Collect what a later part needs: weights, their average, and moments in bfloat16."""
        tensors = {}
        for (name, weight), mean in zip(
            self._model.named_parameters(), self._average.values, strict=True
        ):
            tensors[f"weight.{name}"] = weight.detach()
            tensors[f"average.{name}"] = mean
            moments = self._optimizer.state.get(weight, {})
            for moment in _MOMENTS:
                if moment in moments:
                    tensors[f"{moment}.{name}"] = moments[moment].bfloat16()
        return tensors

    @torch.no_grad()
    def _restore(self, tensors: dict[str, Tensor], notes: dict[str, float]) -> None:
        """Put a state back; absent weights start from the average, absent moments from zero."""
        self.step, self._spent_s = int(notes["step"]), notes["spent_s"]
        for (name, weight), mean in zip(
            self._model.named_parameters(), self._average.values, strict=True
        ):
            mean.copy_(tensors[f"average.{name}"])
            weight.copy_(tensors.get(f"weight.{name}", mean))
            if f"exp_avg.{name}" in tensors:
                step = torch.tensor(float(self.step), device=weight.device)
                moments = {moment: tensors[f"{moment}.{name}"].to(weight) for moment in _MOMENTS}
                self._optimizer.state[weight] = {"step": step, **moments}
        logger.info("resumed %s at step %d", self._name, self.step)
