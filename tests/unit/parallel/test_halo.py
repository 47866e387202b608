"""Bands of an image with a halo: the same frames and latents as the whole image."""

import itertools
import math
from copy import copy

import pytest
import torch

from flashtalk_core.models.vae.layers import CausalConv3d, SpatialAttention, run_sequence
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import VaeGrid, choose_grid
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.halo import HaloRunner, spread_autoencoder
from tests.unit.parallel.thread_ranks import run_ranks
from tests.unit.parallel.toy_bands import (
    GRIDS,
    assert_same,
    make_latent,
    make_vae,
    run_banded,
    run_whole,
    thin_grid,
)

pytestmark = pytest.mark.ranks


@pytest.mark.parametrize(
    ("rows", "columns", "num_latents"),
    [(*grid, n) for grid in GRIDS for n in (1, 2) if n == 2 or math.prod(grid) <= 3],
)
def test_bands_are_those_of_the_whole_image(rows, columns, num_latents):
    vae, grid = make_vae(), thin_grid(rows, columns)
    assert_same(run_banded(vae, grid, num_latents), run_whole(vae, grid, num_latents))


def test_nothing_is_left_out_or_approximated():
    vae, grid = make_vae().double(), thin_grid(2, 3)
    assert_same(run_banded(vae, grid, 2), run_whole(vae, grid, 2), 1e-12)


@pytest.mark.parametrize(("fused", "tiles"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("heights", "widths"), [((4, 3), (3,)), ((2, 3), (3, 2))])
def test_fused_layers_and_row_tiles_work_within_bands(heights, widths, fused, tiles):
    grid, num_latents = VaeGrid(heights, widths), 1 if tiles else 2
    expected = run_whole(make_vae(), grid, num_latents)
    assert_same(run_banded(make_vae(fused, tiles), grid, num_latents), expected)


def test_bands_that_would_be_too_thin_are_fewer():
    grid = choose_grid("8x1", (40, 24), 8)
    assert grid == VaeGrid((3, 2), (3,))
    vae = make_vae()
    assert_same(run_banded(vae, grid, 2, world=8), run_whole(vae, grid, 2))


def test_any_ranks_may_have_the_bands():
    grid, vae = VaeGrid((2, 3), (2, 2)), make_vae()
    banded = run_banded(vae, grid, 2, world=6, ranks=(1, 2, 4, 5))
    assert_same(banded, run_whole(vae, grid, 2))


def test_channels_stay_innermost():
    """Where they are, kernels get them so, without a copy of their own."""
    seen = []

    def inner(layers, x, cache):
        if not isinstance(layers[0], CausalConv3d):  # what it gets was not innermost
            seen.append(x.is_contiguous(memory_format=torch.channels_last_3d))
        return run_sequence(layers, x, cache).contiguous(memory_format=torch.channels_last_3d)

    def work(group):
        vae = copy(make_vae())
        vae.runner = inner
        spread_autoencoder(vae, grid, group)
        band = make_latent((2, 2)).contiguous(memory_format=torch.channels_last_3d)
        return list(vae.decode_groups(band, 2))

    grid = VaeGrid((2, 2), (2, 2))
    run_ranks(4, work)
    assert len(seen) > 20
    assert all(seen)


def test_a_runner_is_replaced_for_another_grid():
    vae, grids = make_vae(), [VaeGrid((3,), (3,)), VaeGrid((4,), (5,))]
    for grid in grids:
        spread_autoencoder(vae, grid, Alone())
        assert isinstance(vae.runner, HaloRunner)
        assert vae.runner.inner is run_sequence
    spread_autoencoder(vae, grids[0], None)
    assert isinstance(vae.runner, HaloRunner)


@torch.no_grad()
def test_attention_of_some_pixels_is_that_of_all():
    torch.manual_seed(0)
    layer, x = SpatialAttention(8), torch.randn(2, 8, 3, 4, 5)
    whole = layer(x)
    _, keys, values = layer.project(x)
    for rows in itertools.pairwise((0, 1, 4)):
        part = x[..., slice(*rows), :]
        found = layer.attend(part, layer.project(part)[0], keys, values)
        torch.testing.assert_close(found, whole[..., slice(*rows), :], atol=1e-5, rtol=0)


def test_each_rank_sends_two_lines_and_not_its_band():
    def sent(width):
        def work(group):
            vae, grid = copy(make_vae()), VaeGrid((2, 2), (width,))
            list(BandedImages.over(grid, group).decode(vae, make_latent((4, width)), 3))
            return group.sent_bytes, group.num_calls

        return run_ranks(2, work)

    (narrow, calls), (wide, _) = sent(4)[0], sent(8)[0]
    assert wide == 2 * narrow
    # Residual blocks, upsampling, head and first convolution; keys and values.
    assert calls == (2 + 2 * 4) + 3 + 1 + 1 + 1
