"""Bands of an image on real processes."""

from copy import copy

import pytest
import torch

from flashtalk_core.bench.ranks.process import run_ranks
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import VaeGrid
from flashtalk_core.parallel.torch_collectives import TorchCollectives
from tests.unit.parallel.toy_bands import inputs_of, make_vae, run_whole

pytestmark = pytest.mark.ranks


@torch.no_grad()
def errors_of_a_process(_device):
    """Return the largest errors of this process's band and of the joined latents."""
    group = TorchCollectives()
    grid, vae = VaeGrid((3, 2), (3,)), make_vae(fused=True)
    expected, expected_latent = run_whole(vae, grid, 2)
    spread, own = BandedImages.over(grid, group), copy(vae)
    sent, video = inputs_of(vae, grid, 2)
    frames = torch.cat(list(spread.decode(own, sent, 2)), dim=2)
    latent = spread.encode(own, video, 2)
    errors = [spread.join(frames) - expected, frames - spread.band(expected, 8)]
    return [float(each.abs().max()) for each in (*errors, latent - expected_latent)]


def test_processes_of_gloo_decode_and_encode_bands():
    first, second = run_ranks(errors_of_a_process, 2, "gloo")
    assert max(first + second) < 1e-5
