"""Latent statistics, dtypes, and what a cache holds on to."""

import pytest
import torch

from flashtalk_core.config.networks import WAN_LATENT_MEAN, WAN_LATENT_STD, VAEConfig
from flashtalk_core.models.vae.cache import CausalCache
from flashtalk_core.models.vae.layers import CausalConv3d, RMSNorm
from flashtalk_core.models.vae.model import VideoVAE

pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VideoVAE(VAEConfig(dim=4, num_res_blocks=1)).eval()


def test_latents_are_normalised_by_each_channels_statistics(vae):
    mean = torch.tensor(WAN_LATENT_MEAN).view(1, 16, 1, 1, 1).expand(1, 16, 2, 1, 1)
    spread = mean + torch.tensor(WAN_LATENT_STD).view(1, 16, 1, 1, 1)
    torch.testing.assert_close(vae.normalise(mean), torch.zeros_like(mean))
    torch.testing.assert_close(vae.normalise(spread), torch.ones_like(mean))
    torch.testing.assert_close(vae.denormalise(vae.normalise(spread)), spread)


def test_statistics_are_no_weights(vae):
    assert not [name for name in vae.state_dict() if "latent" in name]


def test_the_mean_is_the_first_half_of_the_moments(vae):
    moments = torch.randn(1, 32, 2, 1, 1)
    with torch.no_grad():
        assert torch.equal(vae.moments_to_mean(moments), vae.conv1(moments)[:, :16])


def test_half_precision_goes_in_and_out():
    torch.manual_seed(0)
    half = VideoVAE(VAEConfig(dim=4, num_res_blocks=1)).bfloat16()
    with torch.no_grad():
        latent = half.encode(torch.zeros(1, 3, 5, 16, 16, dtype=torch.bfloat16))
        frames = next(half.decode_groups(latent))
    assert latent.dtype == frames.dtype == torch.bfloat16


def test_a_cache_holds_the_last_frames_alone():
    conv, cache = CausalConv3d(2, 2, (3, 3, 3)), CausalCache()
    conv.layer_name = "conv"
    with torch.no_grad():
        conv(torch.randn(1, 2, 50, 4, 4), cache)
    kept = cache.read("conv")
    assert kept.shape[2] == 2
    assert kept.untyped_storage().nbytes() == kept.numel() * 4


def test_every_layer_that_looks_back_has_a_name_of_its_own(vae):
    names = [m.layer_name for m in vae.modules() if hasattr(m, "layer_name")]
    looking_back = [m.layer_name for m in vae.modules() if isinstance(m, CausalConv3d)]
    assert "" not in looking_back
    assert len(set(names)) == len(names)


def test_norm_brings_channels_to_unit_root_mean_square():
    norm = RMSNorm(4)
    result = norm(torch.tensor([2.0, 2.0, -2.0, 2.0]).view(1, 4, 1, 1, 1))
    torch.testing.assert_close(result.flatten(), torch.tensor([1.0, 1.0, -1.0, 1.0]))
