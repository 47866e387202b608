"""The audio that each latent frame attends to."""

from dataclasses import replace

import pytest
import torch

from flashtalk_core.config.networks import DiTConfig
from flashtalk_core.models.transformer.audio_projection import AudioProjection, group_windows

pytestmark = pytest.mark.cpu

CONFIG = DiTConfig(
    dim=24, num_heads=2, audio_blocks=2, audio_channels=6, audio_intermediate_dim=10,
    audio_output_dim=14, audio_context_tokens=3,
)  # fmt: skip


def moments(num_frames, window=5):
    """Windows that hold the time of their audio: frame number plus offset."""
    frames = torch.arange(num_frames)[:, None] + torch.arange(window) - window // 2
    return frames.float().view(1, num_frames, window, 1, 1)


def test_the_first_latent_frame_hears_the_first_window():
    first, _ = group_windows(moments(9), 4)
    assert first.flatten().tolist() == [-2, -1, 0, 1, 2]


def test_later_latent_frames_hear_each_moment_once_with_context():
    _, later = group_windows(moments(9), 4)
    assert later[0, 0].flatten().tolist() == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert later[0, 1].flatten().tolist() == [3, 4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("num_frames", [5, 17, 33])
def test_every_latent_frame_gets_its_tokens(num_frames):
    windows = torch.randn(2, num_frames, 5, 2, 6)
    with torch.no_grad():
        tokens = AudioProjection(CONFIG)(windows)
    assert tokens.shape == (2, (num_frames - 1) // 4 + 1, 3, 14)


def test_audio_reaches_only_the_latent_frames_that_hear_it():
    torch.manual_seed(0)
    projection = AudioProjection(CONFIG)
    windows = torch.randn(1, 13, 5, 2, 6)
    changed = windows.clone()
    changed[:, 5:9] += 1
    with torch.no_grad():
        difference = (projection(windows) - projection(changed)).abs().amax(dim=(0, 2, 3))
    assert (difference > 1e-3).tolist() == [False, False, True, False]


def test_the_closing_norm_has_the_authors_epsilon_and_can_be_left_out():
    assert AudioProjection(CONFIG).norm.eps == 1e-5
    plain = AudioProjection(replace(CONFIG, norm_output_audio=False))
    assert not list(plain.norm.parameters())
