"""A transformer divided among processes of gloo."""

import copy

import pytest
import torch

from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.errors import InvalidInputError, WorkerError
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from tests.unit.parallel.toy_transformer import (
    ODD,
    EverywhereFloat8Attention,
    denoised,
    make_transformer,
    on_rank,
    velocity,
)

pytestmark = pytest.mark.ranks

WAYS = ((2, 1), (1, 2))
"""Degrees of Ulysses and Ring."""


def outputs(dit, world, way):
    """Return latents of one speaker, and a velocity each of two, in FP8 and in bfloat16."""
    scaled, _ = on_rank(dit, world, way, attention=EverywhereFloat8Attention())
    half = copy.deepcopy(dit).bfloat16()
    own, half = on_rank(dit, world, way)[0], on_rank(half, world, way)[0]
    found = [denoised(own, ODD, "renoise"), velocity(own, ODD, 2), velocity(scaled, ODD)]
    return [*found, velocity(half, ODD)]


def outputs_of_a_process(_device):
    dit, group = make_transformer("fused"), TorchCollectives()
    return [[each.tolist() for each in outputs(dit, group, way)] for way in WAYS]


def fail_in_a_process(_device):
    raise InvalidInputError("11 heads do not divide by 2", subject="exchange")


def test_an_error_of_the_processes_is_told_with_the_rank():
    with pytest.raises(WorkerError, match=r"rank \d of 2: .*11 heads do not divide by 2"):
        run_ranks(fail_in_a_process, 2, "gloo")


def test_processes_compute_what_one_device_does():
    expected = outputs(make_transformer("fused"), Alone(), (1, 1))
    for ways in run_ranks(outputs_of_a_process, 2, "gloo"):
        for found in ways:
            pairs = [
                (torch.tensor(each), right) for each, right in zip(found, expected, strict=True)
            ]
            for one, right in pairs[:2]:
                assert float((one - right).abs().max()) < 1e-5
            for one, right in pairs[2:]:
                assert float((one - right).norm() / right.norm()) < 1e-2
