"""Two drawn faces: each moves with its own voice, and nothing else does."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk_core.engine.build import build_avatar
from flashtalk_core.engine.resolve import Inputs, LocalHost, resolve
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.spec import RenderSpec, SamplingSpec, Speaker
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.dialogue.analysis import open_analysis
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.placement.residency import CachedNetworks
from flashtalk_training.drawn_faces.faces import render, rest_motion, sample_identity
from flashtalk_training.drawn_faces.mouth import measure_mouth_opening
from flashtalk_training.speech.example import IDENTITY_SEED
from tests.unit.live.tiny_session import EXAMPLE

pytestmark = pytest.mark.manual

SECONDS, RATE_HZ = 4, 25
STARTS_S = (3.2, 9.8)
"""Where in the example's speech each voice is from: two stretches that have nothing in common."""
REACH_FRAMES = 3
_CORNER_PX = 20
_CORNERS = (0, 108, 128, 236)
"""Left edges of the upper corners of both halves, where no head is."""


def draw_two():
    """Draw two faces that training never draws, side by side."""
    faces = [
        render(sample_identity(1, torch.Generator().manual_seed(seed)), rest_motion(1), (256, 256))[
            0, 0
        ]
        for seed in (IDENTITY_SEED, IDENTITY_SEED + 1)
    ]
    pixels = (torch.cat(faces, dim=2) * 255).round().byte().movedim(0, -1)
    return Image.fromarray(pixels.numpy())


def largest_correlation(one, other):
    """Return the largest absolute correlation at a lag of a few frames."""
    size = len(one)
    return max(
        abs(np.corrcoef(one[max(0, lag) : size + min(0, lag)],
                        other[max(0, -lag) : size - max(0, lag)])[0, 1])
        for lag in range(-REACH_FRAMES, REACH_FRAMES + 1)
    )  # fmt: skip


@pytest.fixture(scope="module")
def tracks():
    rows = json.loads((EXAMPLE / "speech.track.json").read_text())["mouth"]
    opened = np.array([row[0] for row in rows])
    return [opened[round(start * RATE_HZ) :][: SECONDS * RATE_HZ] for start in STARTS_S]


@pytest.fixture(scope="module")
def frames():
    with AudioReader(EXAMPLE / "speech.wav") as reader:
        whole, rate_hz = np.concatenate(list(reader.blocks()), axis=1), reader.rate_hz
    count = SECONDS * rate_hz
    starts = [round(start_s * rate_hz) for start_s in STARTS_S]
    voices = tuple(
        AudioArray(f"voice {start}", whole[:, start : start + count], rate_hz) for start in starts
    )
    spec = RenderSpec(
        speakers=(Speaker(mask="left"), Speaker(mask="right")),
        size_px=(128, 256),
        sampling=SamplingSpec(steps=2),
    )
    inputs = Inputs(image=draw_two(), audio_inputs=voices)
    plan = resolve(spec, LocalHost(), inputs)
    with open_analysis(plan.voices, plan.chunk.sample_rate_hz) as heard:
        avatar = build_avatar(plan, heard, CachedNetworks(plan.checkpoint, plan.placement))
        return torch.cat(list(run_session(avatar, plan.audio)))


def test_the_voices_have_nothing_in_common(tracks):
    assert largest_correlation(*tracks) <= 0.1


def test_each_face_moves_with_its_own_voice_only(frames, tracks):
    images = frames.permute(0, 3, 1, 2) / 255
    for half, own, other in ((slice(128), *tracks), (slice(128, None), *tracks[::-1])):
        opened = measure_mouth_opening(images[..., half]).numpy()
        assert np.corrcoef(opened, own)[0, 1] >= 0.85
        assert largest_correlation(opened, other) <= 0.2


def test_what_is_behind_them_stays_still(frames):
    images = frames.permute(0, 3, 1, 2).float()
    tops = torch.cat([images[..., :_CORNER_PX, left : left + _CORNER_PX] for left in _CORNERS], 3)
    mouths = torch.cat([images[..., 80:112, left + 48 : left + 80] for left in (0, 128)], 3)
    moved, spoken = (part.diff(dim=0).abs().mean().item() for part in (tops, mouths))
    assert moved < 1.2
    assert moved < 0.3 * spoken
