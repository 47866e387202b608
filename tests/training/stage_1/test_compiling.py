"""How often Stage 1 is compiled: once, whatever it is given."""

import itertools
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from flashtalk_training.recipe import DiTRecipe, OptimiserRecipe
from flashtalk_training.stage_1 import dit_trainer
from flashtalk_training.stage_1.dit_trainer import DiTTrainer, compiled
from tests.training.toy_networks import DEVICE, toy_clips, toy_tokens

pytestmark = pytest.mark.training

OPTIMISER = OptimiserRecipe(learning_rate=1e-3, warmup_steps=1, ema_decay=0.9, report_every=2)


@pytest.mark.parametrize(
    "changes",
    [{}, {"chunk_lengths": (17, 13, 9), "live_share": 0.5, "coded_movement": True}],
)
def test_training_and_measuring_share_one_graph(
    long_config, corpus, tmp_path, monkeypatch, changes
):
    recipe = DiTRecipe(num_clips=32, batch=3, optimiser=OPTIMISER, **changes)
    torch.manual_seed(0)
    bank = toy_clips(long_config, recipe, corpus)
    bank.fill()
    tokens = toy_tokens(long_config, tmp_path / "spiece.model")
    trainer = DiTTrainer(long_config, recipe, bank, bank, tokens, DEVICE, tmp_path, seed=0)
    # The graphs of a GPU's backend are the same, but take minutes.
    monkeypatch.setattr(dit_trainer.torch, "compile", partial(torch.compile, backend="eager"))
    predict, seen = compiled(trainer.model, has_lengths=bool(changes)), set()

    def noted(*inputs):
        seen.add(inputs[-1].shape[1])
        return predict(*inputs)

    trainer._predict = noted
    torch._dynamo.reset()
    counters.clear()
    clock = itertools.count()
    trainer.run(1e9, 40.0, lambda: float(next(clock)))
    assert seen == set(recipe.chunk_lengths or (17,))
    assert counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()
