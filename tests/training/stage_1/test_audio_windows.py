import numpy as np
import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_training.speech.corpus_file import SAMPLES_PER_FRAME, Segment, pack_corpus
from flashtalk_training.stage_1.audio_windows import (
    AudioBank,
    cut_windows,
    disturb,
    draw_windows,
    stretch,
)

pytestmark = pytest.mark.training

DEVICE = torch.device("cpu")


def segment(frames, held_out=False, level=0.5):
    mouth = np.zeros((frames, 6), np.float32)
    mouth[:, 0] = np.linspace(0, 1, frames)
    return Segment(
        np.full(frames * SAMPLES_PER_FRAME, level, np.float32),
        mouth,
        np.full(frames, 2, np.uint8),
        "voice",
        held_out,
    )


@pytest.fixture(scope="module")
def corpus():
    return pack_corpus([segment(50), segment(40, level=-0.25), segment(30, held_out=True)])


@pytest.fixture
def bank(corpus):
    return AudioBank.from_corpus(corpus, False, DEVICE)


def test_a_window_inside_a_segment_is_that_segment(bank):
    windows = cut_windows(bank, torch.tensor([1]), torch.tensor([10]), 20)
    assert windows.samples.shape == (1, 20 * SAMPLES_PER_FRAME)
    assert windows.samples.mean().item() == pytest.approx(-0.25, abs=0.01)
    assert windows.mouth[0, :, 0].tolist() == pytest.approx(
        np.linspace(0, 1, 40)[10:30].tolist(), abs=0.01
    )


def test_a_window_over_the_ends_is_silent_and_shut_outside(bank):
    windows = cut_windows(bank, torch.tensor([0]), torch.tensor([-5]), 60)
    samples = windows.samples.view(60, SAMPLES_PER_FRAME)
    assert samples[:5].abs().max() == 0
    assert samples[55:].abs().max() == 0
    assert samples[5:55].abs().min() > 0.4
    assert windows.mouth[0, 55:].abs().max() == 0
    assert windows.classes[0, :5].tolist() == [0] * 5


def test_held_out_segments_are_never_drawn_for_training(corpus, bank):
    assert len(bank.starts) == 2
    assert len(AudioBank.from_corpus(corpus, True, DEVICE).starts) == 1
    chunk = ChunkConfig(num_frames=13, audio_context_frames=20, audio_lookback_frames=6)
    torch.manual_seed(0)
    windows = draw_windows(bank, 64, chunk)
    assert windows.samples.shape == (64, 20 * SAMPLES_PER_FRAME)


def test_stretching_keeps_audio_and_mouth_together(bank):
    torch.manual_seed(0)
    longer = cut_windows(bank, torch.zeros(16, dtype=torch.long), torch.full((16,), 5), 36)
    steps = torch.linspace(0, 1, 36 * SAMPLES_PER_FRAME)
    ramp = longer.__class__(
        steps.expand(16, -1),
        torch.linspace(0, 1, 36)[None, :, None].expand(16, -1, 6),
        longer.classes,
    )
    out = stretch(ramp, 30)
    heard = out.samples.view(16, 30, SAMPLES_PER_FRAME).mean(dim=2)
    assert (heard - out.mouth[..., 0]).abs().max() < 0.02
    speeds = out.mouth[:, -1, 0] - out.mouth[:, 0, 0]
    assert speeds.max() > 1.2 * speeds.min()


def test_disturbed_audio_keeps_its_mouth_unless_it_was_silenced(bank):
    torch.manual_seed(1)
    windows = cut_windows(bank, torch.zeros(200, dtype=torch.long), torch.full((200,), 5), 30)
    out = disturb(windows)
    shut = (out.mouth == 0).flatten(1).all(dim=1)
    assert 0 < shut.sum() < 40
    assert torch.equal(out.mouth[~shut], windows.mouth[~shut])
    assert not torch.equal(out.samples[~shut], windows.samples[~shut])
