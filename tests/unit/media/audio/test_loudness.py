import numpy as np
import pyloudnorm
import pytest

from flashtalk_core.media.audio.loudness import LoudnessMeter, loudness_gain

pytestmark = pytest.mark.cpu


def measure(signal, rate_hz, block_sizes):
    meter = LoudnessMeter(rate_hz)
    start = 0
    while start < len(signal):
        size = next(block_sizes)
        meter.update(signal[start : start + size])
        start += size
    return meter.integrated_lufs()


def sizes(seed):
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(1, 9000))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("seconds", [0.4, 0.45001, 1.27, 10.25, 61.37])
def test_equals_pyloudnorm_for_any_blocks(make, rate_hz, seconds):
    signal = make.voice(int(np.ceil(seconds * rate_hz)), rate_hz).astype(np.float64) + 1e-3
    signal[len(signal) // 2 : len(signal) // 2 + rate_hz // 4] = 0
    expected = pyloudnorm.Meter(rate_hz).integrated_loudness(signal)
    assert measure(signal, rate_hz, sizes(0)) == pytest.approx(expected, rel=1e-9)
    assert measure(signal, rate_hz, iter([len(signal)])) == pytest.approx(expected, rel=1e-9)


def test_quiet_passages_are_gated_out(make):
    loud = make.voice(16_000 * 5, 16_000)
    mixed = np.concatenate([loud, loud * 1e-3, np.zeros(16_000 * 5)])
    alone = measure(loud, 16_000, sizes(1))
    assert measure(mixed, 16_000, sizes(1)) == pytest.approx(alone, abs=0.2)


@pytest.mark.parametrize("num_samples", [0, 1, 6_399])
def test_too_short_is_not_measured(num_samples):
    assert measure(np.ones(num_samples), 16_000, sizes(2)) is None


@pytest.mark.parametrize("level", [0.0, 1e-5])
def test_silence_is_not_measured(level):
    signal = np.random.default_rng(0).standard_normal(16_000) * level
    assert measure(signal, 16_000, sizes(3)) is None


def test_gain_reaches_the_target(make):
    signal = make.voice(48_000, 16_000).astype(np.float64)
    gain = loudness_gain(measure(signal, 16_000, sizes(4)))
    assert measure(signal * gain, 16_000, sizes(4)) == pytest.approx(-23.0, abs=1e-6)


def test_gain_is_one_where_nothing_was_measured():
    assert loudness_gain(None) == 1.0
