"""Decoding in row tiles: the same frames as whole, with smaller intermediate tensors."""

import pytest
import torch

from flashtalk_core.acceleration.fused_vae import FusedRunner, keep_channels_last, pad_weights
from flashtalk_core.acceleration.vae_ops import RowKernels
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.layers import ResidualBlock, RMSNorm
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.models.vae.row_tiles import RowTileRunner

pytestmark = pytest.mark.cpu

CONFIG = VAEConfig(dim=4, num_res_blocks=1)
HEIGHT, WIDTH = 5, 2
"""Of the latent: 40 x 16 pixels, so that tiles of 8 rows leave none over, and others do."""


def make_vae(fused=False):
    torch.manual_seed(0)
    vae = VideoVAE(CONFIG).eval()
    for layer in vae.modules():
        if isinstance(layer, RMSNorm):
            layer.gamma.data.uniform_(0.5, 1.5)
    if fused:
        keep_channels_last(vae)
        pad_weights(vae, 3)
        vae.runner = FusedRunner(RowKernels())
    return vae


def tiled_vae(max_elements, fused=False):
    vae = make_vae(fused)
    vae.runner = RowTileRunner(vae.runner, max_elements)
    return vae


def decode(vae, num_latents):
    latent = torch.randn(2, 16, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    return torch.cat(list(vae.decode_groups(latent, num_latents)), dim=2)


def encode(vae):
    video = torch.rand(1, 3, 9, 8 * HEIGHT, 8 * WIDTH, generator=torch.Generator().manual_seed(2))
    return vae.encode(2 * video - 1)


def close(result, expected):
    assert expected.std() >= 0.1
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("max_elements", [1, 6000])
def test_frames_and_latents_are_those_of_the_whole_image(max_elements, fused):
    whole, tiled = make_vae(fused), tiled_vae(max_elements, fused)
    for num_latents in (1, 3):
        close(decode(tiled, num_latents), decode(whole, num_latents))
    close(encode(tiled), encode(whole))


@torch.no_grad()
def test_no_large_layer_sees_more_rows_than_a_tile_and_what_it_reaches():
    seen = []

    def record(block, given, _out):
        seen.append(given[0].shape[3])

    vae = tiled_vae(1)
    for layer in vae.decoder.upsamples.modules():
        if isinstance(layer, ResidualBlock):
            layer.register_forward_hook(record)
    decode(vae, 1)
    assert max(seen) == 8 + 2 * 2


@torch.no_grad()
def test_an_image_that_fits_is_not_cut():
    calls = []

    def inner(layers, x, cache):
        calls.append(x.shape)
        return x

    block = ResidualBlock(4, 4)
    x = torch.zeros(1, 4, 1, 40, 16)
    RowTileRunner(inner, x.numel() * 2)([block], x, None)
    assert calls == [x.shape]


@torch.no_grad()
def test_a_clip_without_past_frames_runs_whole():
    vae, latent = tiled_vae(1), torch.ones(1, 16, 2, HEIGHT, WIDTH)
    close(vae.decoder(latent, None, vae.runner), make_vae().decoder(latent))
