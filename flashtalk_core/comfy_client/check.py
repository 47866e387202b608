"""Checks of rows for a ComfyUI elsewhere: what can be known here."""

from __future__ import annotations

from ..batch.rows import BatchRow, RowFacts
from ..config.chunk import ChunkConfig
from ..engine.plan import fingerprint as hash_of
from ..errors import about, require
from ..files.input_path import check_input
from ..geometry import num_video_frames
from ..media.audio.probe import probe_audio
from ..media.image.portrait import open_image
from .workflow import Workflow, fill


class RowChecker:
    """Opens image and audio, and fills in the workflow."""

    def __init__(self, workflow: Workflow) -> None:
        """Take the workflow of all rows."""
        self._workflow = workflow

    def look(self, row: BatchRow) -> RowFacts:
        """Check a row; see :data:`.batch.rows.LookAtRow`."""
        require(
            len(row.spec.speakers) == 1,
            f"speakers {len(row.spec.speakers)}: rows on a ComfyUI elsewhere have one; leave "
            "'speaker' out, or render the batch here",
            subject="speakers",
        )
        with about("portrait"):
            open_image(row.image)
        with about("speakers"):
            audio = probe_audio(row.audio, row.spec.start_s, row.spec.duration_s)
        # By the contents' size and date: names on the server say nothing of it.
        image, speech = (
            f"{found.st_size} {found.st_mtime_ns} {path.name}"
            for path in (row.image, row.audio)
            for found in (check_input(path, "file").stat(),)
        )
        filled = fill(self._workflow, row.spec, row.crf, row.given, image, speech)
        total = audio.total_samples
        assert total is not None, "the audio was measured"
        frames = num_video_frames(total, audio.rate_hz, ChunkConfig().frame_rate_hz)
        return RowFacts(hash_of(workflow=filled), frames)
