"""An encoder does not run again what would repeat; its latents stay the same to the bit."""

from itertools import pairwise

import pytest
import torch

from flashtalk_core.config.networks import VAEConfig
from flashtalk_core.models.vae.cache import CausalCache
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_core.models.vae.repeats import RepeatRunner

pytestmark = pytest.mark.cpu

CONFIGS = {
    "wan": VAEConfig(dim=4, num_res_blocks=1),
    "two blocks": VAEConfig(dim=4, num_res_blocks=2),
    "time first": VAEConfig(
        dim=4, dim_mult=(1, 2, 2), num_res_blocks=1, temporal_downsample=(True, True)
    ),
}


@pytest.fixture(params=CONFIGS)
def vae(request):
    torch.manual_seed(0)
    return VideoVAE(CONFIGS[request.param]).eval()


def portrait_and_blanks(num_frames):
    image = torch.rand(1, 3, 1, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.cat([image, torch.zeros(1, 3, num_frames - 1, 32, 48)], dim=2)


@torch.no_grad()
def encode_by(vae, runner, video):
    cache = CausalCache()
    edges = pairwise([0, *range(1, video.shape[2] + 1, 4)])
    return torch.cat([vae.encoder(video[:, :, a:b], cache, runner) for a, b in edges], dim=2)


def test_blank_frames_are_encoded_once_and_the_same_to_the_bit(vae):
    runner, video = RepeatRunner(), portrait_and_blanks(65)
    assert torch.equal(encode_by(vae, runner, video), encode_by(vae, vae.runner, video))
    num_layers = len(vae.encoder.downsamples) + len(vae.encoder.middle) + 2
    assert runner.num_skipped > 4 * num_layers  # of 17 calls of each


def test_frames_that_come_back_are_not_taken_for_those_before(vae):
    video = portrait_and_blanks(65)
    video[:, :, 33:37] = 0.5
    video[:, :, 50] = video[:, :, 0]
    assert torch.equal(encode_by(vae, RepeatRunner(), video), encode_by(vae, vae.runner, video))


def test_moving_frames_are_all_encoded(vae):
    runner = RepeatRunner()
    video = torch.rand(1, 3, 17, 32, 48, generator=torch.Generator().manual_seed(1))
    assert torch.equal(encode_by(vae, runner, video), encode_by(vae, vae.runner, video))
    assert runner.num_skipped == 0


def test_the_autoencoder_does_so_where_nothing_is_learned(vae):
    video = portrait_and_blanks(33)
    with torch.no_grad():
        latent = vae.encode(video)
    learned = vae.encode(video)
    assert learned.requires_grad
    assert torch.equal(latent, learned.detach())
