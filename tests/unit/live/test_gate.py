"""The gate: silence where no one speaks, all of it where someone does."""

import sys

import numpy as np
import pytest
import torch

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.live.audio.gate import Gate, GateConfig, level_db
from flashtalk_core.live.audio.silero import SileroDetector
from tests.unit.live.tiny_session import RATE_HZ, speech

pytestmark = pytest.mark.cpu

BLOCK = RATE_HZ // 50


def at_level(samples, db):
    """Return samples with a root mean square of ``db`` dBFS."""
    return (samples * 10 ** ((db - level_db(samples[None])) / 20)).astype(np.float32)


def rain(seconds, chance):
    """White noise and drops."""
    count = seconds * RATE_HZ
    samples = chance.standard_normal(count) * 0.3
    for start in chance.integers(0, count - 400, seconds * 40):
        samples[start : start + 400] += chance.standard_normal(400) * np.exp(-np.arange(400) / 60)
    return samples


def fan(seconds, chance):
    """Low noise, a hum, and blades that make it louder and quieter."""
    time = np.arange(seconds * RATE_HZ) / RATE_HZ
    low = np.convolve(chance.standard_normal(len(time)), np.ones(40) / 40, "same")
    return (low + 0.05 * np.sin(2 * np.pi * 120 * time)) * (1 + 0.3 * np.sin(2 * np.pi * 7 * time))


def keyboard(seconds, chance):
    """Keys that are pressed and released at up to ten a second, in a quiet room."""
    count = seconds * RATE_HZ
    samples = chance.standard_normal(count) * 0.002
    start = 0
    while (start := start + int(chance.uniform(0.1, 0.4) * RATE_HZ)) < count - 4_000:
        for offset, height in ((0, 1.0), (int(chance.uniform(0.05, 0.09) * RATE_HZ), 0.6)):
            click = chance.standard_normal(800) * np.exp(-np.arange(800) / 120)
            samples[start + offset : start + offset + 800] += height * click
    return samples


def passed(gate, samples, block=BLOCK):
    """Return what passes of ``(n,)`` in blocks, and how often the gate closed."""
    parts = []
    for start in range(0, len(samples), block):
        parts += gate.process(samples[None, start : start + block])
    sound = [part[0] for part in parts if part is not None]
    return np.concatenate([np.zeros(0), *sound]), len(parts) - len(sound)


@pytest.mark.parametrize("noise", [rain, fan, keyboard])
@pytest.mark.parametrize("seed", range(3))
def test_a_minute_of_noise_does_not_open_it(noise, seed):
    samples = at_level(noise(60, np.random.default_rng(seed)), -45)
    gate = Gate(RATE_HZ)
    assert len(passed(gate, samples)[0]) == 0
    assert gate.num_openings == 0


def test_quiet_speech_passes_from_its_first_sample_on():
    spoken = at_level(speech()[: 10 * RATE_HZ], -35)
    loud = next(
        i for i in range(0, len(spoken), BLOCK) if level_db(spoken[None, i : i + BLOCK]) > -45
    )
    silence = np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32) * 1e-4
    samples = np.concatenate([silence, spoken, silence])
    gate = Gate(RATE_HZ)
    found, closings = passed(gate, samples)
    assert gate.num_openings == closings >= 1
    first = np.concatenate([silence, spoken])[len(silence) + loud :][:BLOCK]
    # The first loud block is in it, unchanged, after what was before it.
    starts = [i for i in range(0, len(found), BLOCK) if np.array_equal(found[i : i + BLOCK], first)]
    assert starts
    assert starts[0] <= 0.4 * RATE_HZ
    assert len(found) > 0.7 * len(spoken)


def test_blocks_of_any_size_pass_the_same():
    samples = np.concatenate([np.zeros(RATE_HZ, np.float32), speech()[: 4 * RATE_HZ]])
    whole = passed(Gate(RATE_HZ), samples)[0]
    assert len(whole)
    for block in (1_001, 37_000):
        assert np.array_equal(passed(Gate(RATE_HZ), samples, block)[0], whole)


def test_a_detector_has_to_agree():
    class Deaf:
        def is_speech(self, block):
            return False

    found, _ = passed(Gate(RATE_HZ, detector=Deaf()), speech()[: 4 * RATE_HZ])
    assert len(found) == 0


def test_a_threshold_that_is_no_level_is_refused():
    with pytest.raises(InvalidInputError, match="gate threshold 3 dBFS: use -100 to 0"):
        GateConfig(threshold_db=3)


def test_a_detector_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(InvalidInputError, match=r'"silero-vad>=6,<7"`, or go by level alone'):
        SileroDetector(RATE_HZ)


def test_silero_hears_speech_in_a_noise_that_is_as_loud():
    """Rain that begins in the middle of silence is above any floor; speech over it is speech."""
    pytest.importorskip("silero_vad")
    threads = torch.get_num_threads()
    chance = np.random.default_rng(0)
    quiet = chance.standard_normal(3 * RATE_HZ).astype(np.float32) * 1e-4
    noise = at_level(rain(8, chance), -35)
    samples = np.concatenate([quiet, noise])
    for rate_hz, factor in ((RATE_HZ, 1), (3 * RATE_HZ, 3)):
        at_rate = np.repeat(samples, factor)
        by_level = Gate(rate_hz)
        passed(by_level, at_rate)
        assert by_level.num_openings
        gate = Gate(rate_hz, detector=SileroDetector(rate_hz))
        passed(gate, at_rate)
        assert gate.num_openings == 0
    spoken = np.concatenate([quiet, at_level(speech()[: 8 * RATE_HZ], -25)])
    with torch.inference_mode():  # as a node of ComfyUI loads it, for other threads
        gate = Gate(RATE_HZ, detector=SileroDetector(RATE_HZ))
    found, _ = passed(gate, spoken)
    assert len(found) > 4 * RATE_HZ
    assert torch.get_num_threads() == threads
