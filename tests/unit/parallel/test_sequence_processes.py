"""A transformer divided among processes of gloo."""

import copy
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

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


def run_process(rank, port, results):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        dit, group = make_transformer("fused"), TorchCollectives()
        for way in WAYS:
            results[rank, way] = [each.numpy() for each in outputs(dit, group, way)]
    finally:
        dist.destroy_process_group()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_processes_compute_what_one_device_does():
    expected = outputs(make_transformer("fused"), Alone(), (1, 1))
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(run_process, (free_port(), results), nprocs=2)
        for found in results.values():
            pairs = [
                (torch.from_numpy(each), right) for each, right in zip(found, expected, strict=True)
            ]
            for one, right in pairs[:2]:
                assert float((one - right).abs().max()) < 1e-5
            for one, right in pairs[2:]:
                assert float((one - right).norm() / right.norm()) < 1e-2
