"""The 14B configuration of Stage 2: it can be built, and what it needs is said."""

import sys

import pytest
import torch

from flashtalk_core.config.networks import DiTConfig
from flashtalk_training.stage_2.full_scale import FULL_SCALE, memory_per_gpu_gib, num_parameters

pytestmark = pytest.mark.training


def test_the_large_model_is_built_without_memory_and_its_needs_are_reported(caplog, capsys):
    caplog.set_level("INFO")
    parameters = num_parameters(DiTConfig())
    assert 18e9 < parameters < 20e9
    for num_gpus in (8, 16):
        memory_per_gpu_gib(parameters, num_gpus)
    # They are for who reads the tests' output.
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(caplog.messages) + "\n")
    assert "8 GPUs: 70.3 GiB each" in caplog.text
    assert "16 GPUs: 35.2 GiB each" in caplog.text
    # 80 GB are 74.5 GiB: eight GPUs hold the weights, and little else.
    assert sum(memory_per_gpu_gib(parameters, 8).values()) < 80e9 / 2**30


def test_a_toy_is_counted_as_it_is():
    config = DiTConfig(dim=32, ffn_dim=32, num_heads=2, num_layers=1)
    torch.manual_seed(0)
    assert sum(memory_per_gpu_gib(num_parameters(config), 1).values()) == pytest.approx(
        32 * num_parameters(config) / 2**30
    )


def test_the_student_is_trained_in_every_fifth_step():
    assert (FULL_SCALE.student_every, FULL_SCALE.batch, FULL_SCALE.max_gradient_norm) == (5, 32, 10)
