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
class RowRequest:
    """A row to render."""

    number: str
    image: str
    audio: str
    output: str
    spec: str
    """JSON form of its spec."""
    crf: int

    @classmethod
    def of(cls, row: BatchRow, spec: RenderSpec) -> RowRequest:
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
    resumed: int = 0
    """Frames of an interrupted run; with a status, those among all."""
    is_working: bool | None = None
    """Whether networks are at work from here on, so that the next report is due in time; ``None``
    leaves that as it is."""
    warning: str | None = None
    status: str | None = None
    seconds: float = 0.0
    error: str | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Report:
        """Return the message of how a row ended."""
        return cls(
            frames=outcome.num_frames,
            resumed=outcome.num_resumed,
            is_working=False,
            status=outcome.status,
            seconds=outcome.seconds,
            error=outcome.error,
        )

    def outcome(self) -> Outcome:
        """Return how a row ended."""
        status = cast("Status", self.status)
        return Outcome(status, self.frames, self.seconds, self.error, num_resumed=self.resumed)


def write_message(message: RowRequest | Report) -> bytes:
    """Return a message as a line."""
    return json.dumps(asdict(message)).encode() + b"\n"


def read_request(line: bytes) -> RowRequest:
    """Return the row that a line names."""
    request: RowRequest = read_plain(RowRequest, parse_json(line), "row")
    return request


def read_report(line: bytes) -> Report:
    """Return what a line reports."""
    report: Report = read_plain(Report, parse_json(line), "report")
    return report
