import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from flashtalk_core.media.audio.filters.low_cut import HighMeter
from flashtalk_core.media.audio.filters.sections import SectionFilter, butterworth_high_pass

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize(("rate_hz", "corner_hz"), [(16_000, 75.0), (8_000, 1_000.0)])
def test_butterworth_sections_are_those_of_scipy(order, rate_hz, corner_hz):
    impulse = np.zeros((1, 2_000))
    impulse[0, 0] = 1.0
    expected = sosfilt(butter(order, corner_hz, "high", fs=rate_hz, output="sos"), impulse)
    sections = butterworth_high_pass(rate_hz, corner_hz, order)
    np.testing.assert_allclose(sosfilt(sections, impulse), expected, atol=1e-12)


@pytest.mark.parametrize("num_sections", [1, 2, 3])
def test_filters_as_scipy_does_whatever_the_blocks(num_sections):
    rng = np.random.default_rng(num_sections)
    signal = rng.standard_normal((2, 10_001))
    sections = butterworth_high_pass(16_000, 75.0, 2 * num_sections)
    expected = sosfilt(sections, signal, axis=1)
    found, cut = SectionFilter(sections, 2), []
    while signal.shape[1]:
        size = int(rng.integers(0, 400))
        cut.append(found.process(signal[:, :size]))
        signal = signal[:, size:]
    np.testing.assert_allclose(np.concatenate(cut, axis=1), expected, rtol=0, atol=1e-11)


def test_an_offset_leaves_nothing():
    meter = HighMeter(16_000, 1)
    for _ in range(30):
        last = meter.process(np.ones((1, 16_000)))
    assert np.abs(last).max() < 1e-12
