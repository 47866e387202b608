"""Bands of an image on real processes."""

from copy import copy

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import VaeGrid
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from tests.unit.parallel.test_collectives import free_port
from tests.unit.parallel.toy_bands import inputs_of, make_vae, run_whole

pytestmark = pytest.mark.ranks


def run_process(rank, port, results):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        results[rank] = errors_of_a_process(TorchCollectives())
    finally:
        dist.destroy_process_group()


@torch.no_grad()
def errors_of_a_process(group):
    """Return the largest errors of this process's band and of the joined latents."""
    grid, vae = VaeGrid((3, 2), (3,)), make_vae(fused=True)
    expected, expected_latent = run_whole(vae, grid, 2)
    spread, own = BandedImages.over(grid, group), copy(vae)
    sent, video = inputs_of(vae, grid, 2)
    frames = torch.cat(list(spread.decode(own, sent, 2)), dim=2)
    latent = spread.encode(own, video, 2)
    errors = [spread.join(frames) - expected, frames - spread.band(expected, 8)]
    return [float(each.abs().max()) for each in (*errors, latent - expected_latent)]


def test_processes_of_gloo_decode_and_encode_bands():
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(run_process, (free_port(), results), nprocs=2)
        assert max(results[0] + results[1]) < 1e-5
