"""Output never ends the work, and never changes how it ended."""

import errno
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flashtalk_core.cli import terminal
from flashtalk_core.cli.progress import Progress
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.errors import OutputError

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]
FULL = OSError(errno.ENOSPC, "No space left on device")
NO_READER = BrokenPipeError(errno.EPIPE, "Broken pipe")


class Failing(io.StringIO):
    """A stream on which every call raises one error."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def fail(self, *_args):
        raise self.error

    write = flush = isatty = fail


class Watched(io.StringIO):
    def isatty(self):
        return True


FAULTS = [FULL, NO_READER, ValueError("I/O operation on closed file"), RuntimeError("a window")]


@pytest.mark.parametrize("error", FAULTS)
def test_a_stream_that_fails_stops_no_progress(error):
    with Progress(56, ChunkConfig(), Failing(error)) as progress:
        progress.add(28)
        progress.add(28)


@pytest.mark.parametrize("error", FAULTS)
def test_a_terminal_that_goes_away_stops_no_progress(error):
    stream = Watched()
    with Progress(56, ChunkConfig(), stream) as progress:
        progress.add(28)
        stream.write = stream.flush = Failing(error).fail
        progress.add(28)


def test_without_standard_error_there_is_no_progress(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with (
        Progress(28, ChunkConfig()) as progress,
        terminal.log_to_stderr(debug=False, packages=("flashtalk_core",)),
    ):
        progress.add(28)
        logging.getLogger("flashtalk_core.test").warning("said to nobody")


@pytest.mark.parametrize("error", FAULTS)
def test_a_log_that_cannot_be_written_is_left_out(monkeypatch, error):
    monkeypatch.setattr(sys, "stderr", Failing(error))
    with terminal.log_to_stderr(debug=True, packages=("flashtalk_core",)):
        logging.getLogger("flashtalk_core.test").warning("%d is written nowhere", 1)


def test_a_result_that_cannot_be_written_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Failing(FULL))
    with pytest.raises(OutputError, match="standard output: cannot be written, No space left"):
        terminal.write_out("all is well")


def test_a_closed_pipe_on_standard_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Failing(NO_READER))
    terminal.write_out("all is well")


def run(arguments, **streams):
    return subprocess.run(
        [sys.executable, "-m", "flashtalk_core", *arguments], cwd=ROOT, check=False, **streams
    ).returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["render"], 2)])
def test_the_exit_code_holds_where_nothing_can_be_written(arguments, code):
    with Path("/dev/full").open("wb") as full:
        assert run(arguments, stdout=subprocess.DEVNULL, stderr=full) == code


def test_the_exit_code_holds_without_a_reader():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(["render"], stderr=writer) == 2
        assert run(["--help"], stdout=writer, stderr=writer) == 0
    finally:
        os.close(writer)


@pytest.mark.skipif(os.name == "nt", reason="numbers of streams are inherited otherwise")
def test_files_never_get_the_number_of_a_stream_that_is_closed(tmp_path):
    script = (
        "import os\n"
        "for number in range(3): os.close(number)\n"
        "from flashtalk_core.cli.terminal import standard_streams\n"
        "with standard_streams():\n"
        f"    file = open({str(tmp_path / 'video.mp4')!r}, 'w')\n"
        "    os.write(2, b'a warning of a library')\n"
        "os._exit(0 if file.fileno() > 2 else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
    assert (tmp_path / "video.mp4").read_bytes() == b""


def test_a_warning_is_printed_once_and_results_each_time(capsys):
    logger = logging.getLogger("flashtalk_core.test")
    with terminal.log_to_stderr(debug=False, packages=("flashtalk_core",)):
        for place in ("a", "a", "b", "a"):
            logger.warning("%s is damaged", place)
            logger.info("measuring")
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "damaged" in line] == [
        "warning: a is damaged",
        "warning: b is damaged",
    ]
    assert lines.count("measuring") == 4


def test_a_warning_is_repeated_by_the_next_command(capsys):
    for _ in range(2):
        with terminal.log_to_stderr(debug=False, packages=("flashtalk_core",)):
            logging.getLogger("flashtalk_core.test").warning("it is damaged")
    assert capsys.readouterr().err.count("it is damaged") == 2
