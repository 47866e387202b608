"""What a batch makes of processes that hang, die, warn and take long; they render nothing."""

import sys
import tempfile
import time
from pathlib import Path
from tempfile import mkdtemp

import pytest

from flashtalk_core.batch.rows import BatchRow, CheckedRow
from flashtalk_core.batch_workers import process as process_module
from flashtalk_core.batch_workers import worker_log
from flashtalk_core.batch_workers.pool import ProcessPool
from flashtalk_core.engine.spec import RenderSpec

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sys.platform == "win32", reason="processes end themselves by a signal"),
]


class Events:
    """Outcomes and times by row."""

    def __init__(self):
        self.outcomes, self.ended_s, self.count, self.at = {}, {}, {}, {}
        self._start_s = time.monotonic()

    def started(self, row):
        self.count[row.row.number] = 0

    def resumed(self, row, count):
        self.at[row.row.number] = count

    def frames(self, row, count):
        self.count[row.row.number] += count

    def ended(self, row, outcome):
        self.outcomes[row.row.number] = outcome
        self.ended_s[row.row.number] = time.monotonic() - self._start_s

    @property
    def errors(self):
        return [self.outcomes[row].error for row in sorted(self.outcomes)]

    @property
    def states(self):
        return [self.outcomes[row].status for row in sorted(self.outcomes)]


@pytest.fixture
def render(monkeypatch, tmp_path):
    """Render a row for each text; see the stand-in for what it may say."""
    monkeypatch.setattr(process_module, "_PACKAGE", "tests.unit.batch_workers.stand_in")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def render(*prompts, devices=1, limit_s=None):
        files = {"image": Path("a"), "audio": Path("b"), "output": Path("c")}
        rows = [
            BatchRow(number=str(index), spec=RenderSpec(prompt=prompt), crf=18, **files)
            for index, prompt in enumerate(prompts, 1)
        ]
        events = Events()
        pool = ProcessPool([lambda spec: spec] * devices, limit_s)
        pool.render_all([CheckedRow(row, "", 10) for row in rows], events)
        return events

    return render


def test_one_that_hangs_is_ended_in_time_while_others_report(render):
    found = render("step wait:60", "talk:4", devices=2, limit_s=1.0)
    assert found.states == ["failed", "done"]
    assert found.errors[0].startswith("no progress for 1 s; log in ")
    assert found.ended_s["1"] < 3 < found.ended_s["2"]


def test_files_that_are_written_for_long_are_no_hang(render):
    found = render("wait:1.5 resume:4 wait:1.5 step write:1.5 step write:1.5", limit_s=0.7)
    assert found.states == ["done"]
    assert found.at == {"1": 4}


def test_rows_that_end_their_processes_do_not_take_the_device_from_others(render):
    found = render("step die", "step die", "step die", "step", "step fail", "step")
    assert found.states == ["failed"] * 3 + ["done", "failed", "done"]
    assert all("its process ended with signal 9 (row" in error for error in found.errors[:3])
    assert "its process ended with code 3 (row 5); log in " in found.errors[4]


def test_a_device_on_which_no_process_comes_to_a_step_gets_no_third_one(render):
    found = render("step die", "die", "die", "step", "step")
    assert found.states == ["failed"] * 5
    assert [("no process is left: " in error) for error in found.errors] == [False] * 3 + [True] * 2


def test_warnings_of_a_process_are_those_of_the_batch(render, caplog):
    render("warn:starts-anew step")
    assert [record.getMessage() for record in caplog.records] == ["starts-anew"]


def test_resumed_frames_are_told_apart(render):
    outcome = render("resume:4 step").outcomes["1"]
    assert (outcome.num_frames, outcome.num_resumed, outcome.frames_per_s) == (10, 4, 3.0)


def test_a_process_without_a_log_is_an_error_of_its_row(render, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker_log, "TemporaryFile", fail)
    found = render("step")
    assert "its log cannot be made: No space left on device" in found.errors[0]


def test_only_the_log_of_a_process_that_failed_is_left(render, tmp_path, monkeypatch):
    folder = mkdtemp(dir=tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    render("step")
    assert list(Path(folder).iterdir()) == []
    found = render("step die")
    (log,) = Path(folder).iterdir()
    assert found.errors[0].endswith(f"log in {log}")
    assert log.read_text() == "row 1\n"
