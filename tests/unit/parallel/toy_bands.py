"""A toy autoencoder, its images cut into bands, and the bands put together again."""

from copy import copy

import torch

from flashtalk_core.acceleration.fused_vae import FusedRunner, keep_channels_last, pad_weights
from flashtalk_core.acceleration.vae_ops import RowKernels
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.layers import RMSNorm
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.models.vae.row_tiles import RowTileRunner
from flashtalk_core.parallel.banded_images import BandedImages
from flashtalk_core.parallel.bands import VaeGrid
from flashtalk_core.parallel.shares import split_evenly
from tests.unit.parallel.thread_ranks import run_ranks

WORLDS = (1, 2, 3, 4, 5, 6, 7, 8)
GRIDS = [(n // columns, columns) for n in WORLDS for columns in range(1, n + 1) if n % columns == 0]


def make_vae(fused=False, tiles=False):
    torch.manual_seed(0)
    # Fewer channels are more often all close to zero, where a norm enlarges rounding.
    vae = VideoVAE(VAEConfig(dim=8, num_res_blocks=1)).eval()
    for layer in vae.modules():
        if isinstance(layer, RMSNorm):
            layer.gamma.data.uniform_(0.5, 1.5)
    if fused:
        keep_channels_last(vae)
        pad_weights(vae, 3)
        vae.runner = FusedRunner(RowKernels())
    if tiles:
        vae.runner = RowTileRunner(vae.runner, 1)
    return vae


def thin_grid(rows, columns):
    """Return a grid whose bands are as thin as they may be, and one of them uneven."""
    return VaeGrid(*(split_evenly(2 * n + 1 if n > 1 else 3, n) for n in (rows, columns)))


def make_latent(cells, num_frames=3):
    return torch.randn(1, 16, num_frames, *cells, generator=torch.Generator().manual_seed(1))


def make_video(cells, num_latents):
    shape = 1, 3, 4 * num_latents - 3, *(8 * n for n in cells)
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def put_together(whole_size, spreads, parts):
    """Return whole frames of the bands that each rank decoded, by their places."""
    whole = parts[0].new_full((*parts[0].shape[:-2], *whole_size), torch.nan)
    for spread, part in zip(spreads, parts, strict=True):
        (top, left), (height, width) = spread.corner_px, part.shape[-2:]
        whole[..., top : top + height, left : left + width] = part
    return whole


def inputs_of(vae, grid, num_latents):
    """Return latents and video of two groups."""
    weight, num_frames = next(vae.parameters()), 2 * num_latents
    makers = make_latent, make_video
    return [make(grid.cells, num_frames).to(weight.dtype) for make in makers]


def run_banded(vae, grid, num_latents, world=None, ranks=()):
    """Return decoded frames, and the latents that each rank has of encoded ones."""
    latent, video = inputs_of(vae, grid, num_latents)

    def work(group):
        spread, own = BandedImages.over(grid, group, ranks), copy(vae)
        frames = torch.cat(list(spread.decode(own, latent, num_latents)), dim=2)
        return spread, frames, spread.encode(own, video, num_latents)

    spreads, frames, latents = zip(*run_ranks(world or grid.size, work), strict=True)
    size = [8 * n for n in grid.cells]
    return put_together(size, spreads, frames), latents


@torch.no_grad()
def run_whole(vae, grid, num_latents):
    latent, video = inputs_of(vae, grid, num_latents)
    frames = torch.cat(list(vae.decode_groups(latent, num_latents)), dim=2)
    return frames, vae.encode(video, num_latents)


def assert_same(banded, whole, largest=1e-5):
    frames, latents = banded
    expected, expected_latent = whole
    assert min(expected.std(), expected_latent.std()) >= 0.1
    torch.testing.assert_close(frames, expected, atol=largest, rtol=0)
    for latent in latents:
        torch.testing.assert_close(latent, expected_latent, atol=largest, rtol=0)
