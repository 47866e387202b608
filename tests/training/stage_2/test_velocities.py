"""Transformers in training: recorded calls on a GPU, and what they must not do to be recorded."""

from functools import partial

import pytest
import torch

from flashtalk_core.config.sampling import SamplingConfig
from flashtalk_core.models.transformer.model import AvatarDiT
from flashtalk_core.models.vae.model import VideoVAE
from flashtalk_training.runs.capture import Captured
from flashtalk_training.stage_2.rollout import Roller
from flashtalk_training.stage_2.scenes import Conditions
from flashtalk_training.stage_2.velocities import judge, velocity_of


def inputs(config, device):
    """Return condition, image tokens, prompt, audio, noisy latents and their levels."""
    dit, chunk = config.dit, config.chunk
    torch.manual_seed(1)
    return [
        value.to(device)
        for value in (
            torch.randn(2, 20, 3, 4, 4),
            torch.randn(2, dit.clip_tokens, dit.clip_dim),
            torch.randn(2, dit.text_len, dit.text_dim),
            torch.randn(
                2, chunk.num_frames, dit.audio_window, dit.audio_blocks, dit.audio_channels
            ),
            torch.randn(2, 16, 3, 4, 4),
            torch.rand(2),
        )
    ]


def transformer(config, device):
    torch.manual_seed(0)
    dit = AvatarDiT(config.dit).requires_grad_(False)
    torch.nn.init.normal_(dit.head.head.weight, std=0.1)
    return dit.to(device)


class OnGPU:
    """A timestep that may be moved, but not read."""

    device = torch.device("cuda")

    def to(self, _device):
        return torch.tensor([500.0])


@pytest.mark.training
def test_a_timestep_on_a_gpu_is_never_read_back(config):
    """Reading waits for the device, and ends the recording of a CUDA graph."""
    dit = transformer(config, "cpu")
    condition, clip, text, heard, noisy, _ = (value[:1] for value in inputs(config, "cpu"))
    with torch.no_grad():
        session = dit.project_session(condition, text, clip, [500.0])
        audio = dit.project_audio(heard)
        found = dit(noisy, OnGPU(), session, audio)
        assert torch.equal(found, dit(noisy, torch.tensor([500.0]), session, audio))


@pytest.mark.gpu
def test_recorded_chunks_and_judgements_are_the_plain_ones(config):
    dit = transformer(config, "cuda")
    torch.manual_seed(2)
    vae = VideoVAE(config.vae).requires_grad_(False).cuda()
    roller = Roller.around(vae, config, SamplingConfig())
    condition, clip, text, heard, noisy, level = inputs(config, "cuda")

    def advance(condition, clip, text, heard, motion):
        velocity = velocity_of(dit, Conditions(condition, clip, text, text))
        latent = roller.chunk(velocity, heard, motion, lambda shape: noisy.expand(shape))
        return roller.end(latent)

    conditioning = (condition, clip, text, heard)
    for function, call in (
        (partial(judge, dit), (*conditioning, noisy, level)),
        (advance, (*conditioning, noisy[:, :, :1])),
    ):
        with torch.no_grad():
            expected = function(*call)
        found = Captured(function)(*call)
        assert expected.std() > 0
        assert torch.allclose(found, expected, atol=1e-3)
