"""What is known of the audio of a render."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import about
from ...excerpt import excerpt
from ...files.input_path import check_input
from .analysis_mix import AnalysisMix
from .loudness import TARGET_LUFS, loudness_gain
from .source import AudioInput, AudioSource

SILENCE_PEAK = 1e-4
"""Audio that never exceeds this (-80 dBFS) is called silent."""


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """The part of audio that is rendered, and what the first pass measured in it."""

    source: AudioInput
    rate_hz: int
    channels: int
    layout: str
    """FFmpeg's name of the channel layout; empty or ``N channels`` where the file has none."""
    start_sample: int
    """First sample of the part, at the audio's own rate."""
    num_samples: int | None
    """Samples of the part at the audio's own rate, without encoder delay and padding; ``None`` of
    a source that had not ended, see :attr:`total_samples`."""
    loudness_lufs: float | None
    """Integrated loudness of the analysis signal; ``None`` where it cannot be measured."""
    peak: float
    """Largest absolute sample of any channel; full scale is 1."""
    is_silent: bool
    """Whether the analysis signal stays below -80 dBFS."""
    target_lufs: float = TARGET_LUFS
    """Loudness the analysis signal is brought to."""
    limit_samples: int | None = None
    """Most samples that were asked for; ``None`` is up to the end."""
    missing_s: float = 0.0
    """Seconds that the header of the file states but that are not in it."""
    mix_peak: float = 0.0
    """Largest absolute sample of the usual downmix to mono."""
    analysis_mix: AnalysisMix | None = None
    """How the analysis signal is mixed; ``None`` is the usual downmix."""
    problems: tuple[str, ...] = ()
    """What was noticed about the file while it was read, a sentence each."""
    marks: tuple[int, ...] = ()
    """Checksums of the part, by which later passes know that they read the same."""

    def __repr__(self) -> str:
        name = self.source.name  # a path is long, an array larger still
        what = f"{self.length} at {self.rate_hz} Hz, {self.channels} channel(s)"
        return f"AudioInfo({excerpt(name)}, {what})"

    @classmethod
    def growing(cls, source: AudioSource) -> AudioInfo:
        """Return what is known of audio before its end; its loudness is left as it is."""
        return cls(
            source=source,
            rate_hz=source.rate_hz,
            channels=source.channels,
            layout=source.layout,
            start_sample=0,
            num_samples=None,
            loudness_lufs=None,
            peak=1.0,
            is_silent=False,
        )

    @property
    def total_samples(self) -> int | None:
        """Samples of the part; ``None`` until the end of a source that grows is known."""
        if self.num_samples is not None:
            return self.num_samples
        return self._growing.num_samples

    @property
    def duration_s(self) -> float | None:
        """Length in seconds; ``None`` until it is known."""
        total = self.total_samples
        return None if total is None else total / self.rate_hz

    @property
    def length(self) -> str:
        """The length for a reader."""
        return "?" if self.duration_s is None else f"{self.duration_s:.2f} s"

    def has_sample(self, index: int) -> bool:
        """Return whether the part has a sample ``index``; wait until that is known."""
        if self.num_samples is not None:
            return index < self.num_samples
        return self._growing.has_sample(index)

    @property
    def mix(self) -> AnalysisMix:
        """How the analysis signal is mixed."""
        return self.analysis_mix or AnalysisMix.downmix(self.layout, self.channels)

    @property
    def gain(self) -> float:
        """Factor that brings the analysis signal to the target loudness."""
        return loudness_gain(self.loudness_lufs, self.target_lufs)

    @property
    def identity(self) -> str | None:
        """Text that identifies this audio, and differs for a changed file of the same name.

        ``None`` where the source has none: then it cannot be told apart from other audio.

        Raises:
            InvalidInputError: If its file is no longer there.
        """
        part = f"{self.start_sample} {self.num_samples} {self.target_lufs!r}"
        if not isinstance(self.source, Path):
            known = self.source.identity
            return None if known is None else f"{known} {part}"
        with about("speakers"):
            found = check_input(self.source, "audio").stat()
        return f"file {found.st_size} {found.st_mtime_ns} {part} {self.source.resolve()}"

    @property
    def _growing(self) -> AudioSource:
        assert not isinstance(self.source, Path), "a file is measured whole"
        return self.source
