"""What is known of the sound of a render."""

from __future__ import annotations

from dataclasses import dataclass

from ...excerpt import excerpt
from ...files.input_path import check_input
from .hearing import Hearing
from .loudness import TARGET_LUFS, loudness_gain
from .source import SoundArray, SoundSource

SILENCE_PEAK = 1e-4
"""Sound that never exceeds this (-80 dBFS) is called silent."""


@dataclass(frozen=True, kw_only=True)
class SoundInfo:
    """The part of a sound that is rendered, and what the first pass measured in it."""

    source: SoundSource
    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty or ``N channels`` where the file has none."""
    start_sample: int
    """First sample of the part, at the sound's own rate."""
    num_samples: int
    """Samples of the part at the sound's own rate, without encoder delay and padding."""
    loudness_lufs: float | None
    """Integrated loudness of what the model hears; ``None`` where it cannot be measured."""
    peak: float
    """Largest absolute sample of any channel; full scale is 1."""
    is_silent: bool
    """Whether what the model hears stays below -80 dBFS."""
    target_lufs: float = TARGET_LUFS
    """Loudness the analysis signal is brought to."""
    missing_s: float = 0.0
    """Seconds that the header of the file states but that are not in it."""
    mix_peak: float = 0.0
    """Largest absolute sample of the usual downmix to mono."""
    hearing: Hearing | None = None
    """What the model hears; ``None`` is the usual downmix."""
    faults: tuple[str, ...] = ()
    """What was noticed about the file while it was read, a sentence each."""
    marks: tuple[int, ...] = ()
    """Checksums of the part, by which later passes know that they read the same."""

    def __repr__(self) -> str:
        name = self.source.name  # a path is long, an array larger still
        what = f"{self.duration_s:.2f} s at {self.rate_hz} Hz, {self.channels} channel(s)"
        return f"SoundInfo({excerpt(name)}, {what})"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.rate_hz

    @property
    def heard(self) -> Hearing:
        """What the model hears."""
        return self.hearing or Hearing.plain(self.layout, self.channels)

    @property
    def gain(self) -> float:
        """Factor that brings the analysis signal to the target loudness."""
        return loudness_gain(self.loudness_lufs, self.target_lufs)

    @property
    def identity(self) -> str:
        """Text that tells this sound from others, and from a changed file of the same name.

        Raises:
            InvalidInputError: If its file is no longer there.
        """
        part = f"{self.start_sample} {self.num_samples} {self.target_lufs!r}"
        if isinstance(self.source, SoundArray):
            return f"array {self.source.digest} {part}"
        found = check_input(self.source, "sound").stat()
        return f"file {found.st_size} {found.st_mtime_ns} {part} {self.source.resolve()}"
