"""Audio whose length is known at its end only."""

import pytest


class GrowingSound:
    """Audio that arrives part by part, one per wait; a further wait ends it."""

    name = "live"
    layout = ""
    identity = None

    def __init__(self, samples, rate_hz, part_samples=1_000):
        self.rate_hz, self.channels = rate_hz, len(samples)
        self.num_arrived, self.num_samples = 0, None
        self._samples, self._part_samples = samples, part_samples

    def __str__(self):
        return self.name

    def has_sample(self, index):
        while index >= self.num_arrived and self.num_samples is None:
            left = self._samples.shape[1] - self.num_arrived
            self.num_arrived += min(left, self._part_samples)
            self.num_samples = None if left else self.num_arrived
        return index < self.num_arrived

    def blocks(self):
        position = 0
        while self.has_sample(position):
            first, position = position, self.num_arrived
            yield self._samples[:, first:position]


@pytest.fixture(scope="session")
def growing_audio():
    """Make a source of ``(C, n)`` float32 that grows."""
    return GrowingSound
