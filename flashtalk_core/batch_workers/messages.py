"""What a batch and its processes say to each other: a line of JSON each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from ..batch.rows import BatchRow, Outcome, Status
from ..engine.spec import RenderSpec
from ..json_text import parse_json
from ..settings import read_plain


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row to render."""

    number: str
    image: str
    audio: str
    output: str
    spec: str
    """JSON form of its spec."""
    crf: int

    @classmethod
    def of(cls, row: BatchRow, spec: RenderSpec) -> Job:
        """Return the message of a row, to be rendered as ``spec`` says."""
        return cls(
            number=row.number,
            image=str(row.image),
            audio=str(row.audio),
            output=str(row.output),
            spec=spec.to_json(),
            crf=row.crf,
        )

    def row(self) -> BatchRow:
        """Return the row."""
        return BatchRow(
            number=self.number,
            image=Path(self.image),
            audio=Path(self.audio),
            output=Path(self.output),
            spec=RenderSpec.from_json(self.spec),
            crf=self.crf,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """What happened in a process; without ``status`` its row goes on."""

    frames: int = 0
    """Frames that were written since the last report; with a status, all of the row."""
    status: str | None = None
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Report:
        """Return the message of how a row ended."""
        return cls(
            frames=outcome.num_frames,
            status=outcome.status,
            seconds=outcome.seconds,
            error=outcome.error,
        )

    def outcome(self) -> Outcome:
        """Return how a row ended."""
        return Outcome(cast("Status", self.status), self.frames, self.seconds, self.error)


def write_message(message: Job | Report) -> bytes:
    """Return a message as a line."""
    return json.dumps(asdict(message)).encode() + b"\n"


def read_job(line: bytes) -> Job:
    """Return the row that a line names."""
    job: Job = read_plain(Job, parse_json(line), "job")
    return job


def read_report(line: bytes) -> Report:
    """Return what a line reports."""
    report: Report = read_plain(Report, parse_json(line), "report")
    return report
