"""Channels last and fused layers against eager ones, in groups and with gradients."""

import re

import pytest
import torch
import torch.nn.functional as F

from flashtalk_core.acceleration.apply import set_execution
from flashtalk_core.acceleration.fused_vae import (
    FusedRunner,
    double_images,
    keep_channels_last,
    pad_weights,
)
from flashtalk_core.acceleration.kernel_options import KernelOptions
from flashtalk_core.acceleration.vae_ops import RowKernels, activate_rows
from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.layers import RMSNorm
from flashtalk_core.models.vae.model import VideoVAE

pytestmark = pytest.mark.cpu

CONFIG = VAEConfig(dim=4, num_res_blocks=1)


def make_vae():
    torch.manual_seed(0)
    vae = VideoVAE(CONFIG).eval()
    for layer in vae.modules():
        if isinstance(layer, RMSNorm):
            layer.gamma.data.uniform_(0.5, 1.5)
    return vae


def fast_vae(channel_multiple=3):
    # Channels are 4, 8 and 16 here: a multiple of 3 pads them all, and 64 none.
    vae = make_vae()
    keep_channels_last(vae)
    pad_weights(vae, channel_multiple)
    vae.runner = FusedRunner(RowKernels())
    return vae


@pytest.fixture
def latent():
    return torch.randn(2, 16, 4, 3, 2, generator=torch.Generator().manual_seed(1))


def decode(vae, latent, num_latents=1):
    return torch.cat(list(vae.decode_groups(latent, num_latents)), dim=2)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_a_row_is_normalised_scaled_and_activated():
    torch.manual_seed(0)
    norm, x = RMSNorm(6), torch.randn(1, 6, 2, 3, 4)
    norm.gamma.data.uniform_(0.5, 1.5)
    pixels = x.permute(0, 2, 3, 4, 1).reshape(-1, 6)
    bias = torch.randn(6)
    out = torch.full_like(pixels, torch.nan)
    activate_rows(pixels - bias, bias, norm.gamma.detach().flatten(), out)
    with torch.no_grad():
        expected = F.silu(norm(x)).permute(0, 2, 3, 4, 1).reshape(-1, 6)
    close(out, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 8])
def test_doubled_images_are_those_of_the_plain_layer(dtype, channels):
    images = torch.randn(2, channels, 3, 5).to(dtype)
    expected = F.interpolate(images.float(), scale_factor=2.0, mode="nearest-exact")
    assert torch.equal(double_images(images).float(), expected)


@torch.no_grad()
@pytest.mark.parametrize("channel_multiple", [3, 64])
@pytest.mark.parametrize("num_latents", [1, 2, 3])
def test_fused_layers_decode_the_same_frames(latent, num_latents, channel_multiple):
    close(decode(fast_vae(channel_multiple), latent, num_latents), decode(make_vae(), latent))


@torch.no_grad()
def test_kernels_that_cannot_be_built_run_eagerly_and_say_so_once(latent, caplog):
    def fail(*tensors):
        raise RuntimeError("out of resource: shared memory")

    vae = make_vae()
    pad_weights(vae)
    vae.runner = FusedRunner(RowKernels(fail, shift=fail).or_eager())
    close(decode(vae, latent, 2), decode(make_vae(), latent))
    said = sorted(re.findall(r"fused kernel '(\w+)'", caplog.text))
    assert said == ["activate", "shift"]


@torch.no_grad()
@pytest.mark.parametrize("num_latents", [1, 2])
def test_fused_layers_encode_the_same_latents(num_latents):
    video = torch.rand(2, 3, 9, 16, 24) * 2 - 1
    close(fast_vae().encode(video, num_latents), make_vae().encode(video))


@torch.no_grad()
def test_channels_last_alone_decodes_the_same_frames(latent):
    vae = make_vae()
    set_execution(vae, KernelOptions(fused_layers=False), torch.device("cpu"))
    close(decode(vae, latent, 2), decode(make_vae(), latent))
    weight = vae.decoder.conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_names_and_values_of_the_weights_stay():
    plain, fast = make_vae().state_dict(), fast_vae().state_dict()
    assert plain.keys() == fast.keys()
    assert all(torch.equal(plain[name], fast[name]) for name in plain)


@torch.no_grad()
def test_padded_weights_go_where_the_weights_go(latent):
    vae = fast_vae()
    assert "padded_weight" in dict(vae.decoder.conv1.named_buffers())
    vae.to("meta")
    assert {each.device.type for each in (*vae.parameters(), *vae.buffers())} == {"meta"}
    wide = fast_vae().double()
    result = decode(wide, latent.double())
    assert result.dtype == torch.float64
    close(result.float(), decode(make_vae(), latent))


def test_with_gradients_layers_run_eagerly(latent):
    plain, fast = make_vae(), fast_vae()
    for vae in (plain, fast):
        decode(vae, latent).square().mean().backward()
    for (name, expected), result in zip(plain.named_parameters(), fast.parameters(), strict=True):
        if name.startswith("decoder"):
            close(result.grad, expected.grad)
