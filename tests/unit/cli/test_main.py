"""Errors become one line and an exit code."""

import argparse
import dataclasses
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flashtalk_core.cli import main as command_line
from flashtalk_core.cli.program import build_parser
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.packages import install_command

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run_raising(monkeypatch, capsys):
    """Run a command that does what it is given; return exit code and lines of stderr."""

    def run(act, *options):
        def add_parser(subparsers):
            parser = subparsers.add_parser("act")
            parser.set_defaults(run=lambda args: act())

        command = argparse.Namespace(add_parser=add_parser)
        changed = dataclasses.replace(command_line.PROGRAM, commands=(command,))
        monkeypatch.setattr(command_line, "PROGRAM", changed)
        code = command_line.main(["act", *options])
        return code, capsys.readouterr().err.splitlines()

    return run


def raising(error, *notes):
    for note in notes:
        error.add_note(note)

    def act():
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidInputError("steps 0: use 1 to 100"), 2, "error: steps 0: use 1 to 100"),
        (KeyboardInterrupt(), 130, "error: stopped on request"),
        (KeyboardInterrupt("enough"), 130, "error: enough"),
        (MemoryError("no room\nat all"), 2, "error: out of memory (no room); try a smaller --size"),
        (
            RuntimeError(
                "[enforce fail at a.cpp:1] . DefaultCPUAllocator: can't allocate memory: 9"
            ),
            2,
            "error: out of memory (DefaultCPUAllocator: can't allocate memory: 9); try a smaller "
            "--size",
        ),
        (
            InvalidInputError("name a\x1b]0;T\x07\u202eb"),
            2,
            "error: name a\\x1b]0;T\\x07\\u202eb",
        ),
        (
            ModuleNotFoundError("No module named 'PIL.Image'", name="PIL.Image"),
            2,
            f"error: package pillow is not installed; run `{install_command('pillow')}`; "
            "`doctor` lists all that are needed",
        ),
        (
            ZeroDivisionError("two\nlines"),
            1,
            "error: unexpected ZeroDivisionError: two; please report it with what --debug shows",
        ),
        (AssertionError(), 1, None),
        (ModuleNotFoundError("ours", name="flashtalk_core.nothing"), 1, None),
    ],
)
def test_every_error_is_one_line(run_raising, error, code, line):
    found, lines = run_raising(raising(error))
    assert found == code
    assert len(lines) == 1
    assert line is None or lines == [line]


def test_notes_are_part_of_the_line(run_raising):
    _, lines = run_raising(raising(KeyboardInterrupt(), "3 frames\nare in a.mp4"))
    assert lines == ["error: stopped on request; 3 frames are in a.mp4"]


def test_debug_shows_the_traceback_wherever_it_stands(run_raising, capsys):
    code, lines = run_raising(raising(ZeroDivisionError("gone")), "--debug")
    assert code == 1
    assert "Traceback (most recent call last):" in lines
    assert lines[-1].startswith("error: unexpected ZeroDivisionError: gone")
    assert command_line.main(["--debug", "act"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_notes_and_foreign_errors_steer_no_terminal(run_raising):
    _, lines = run_raising(raising(RuntimeError("a\x1b[2Jb"), "in \x9b2J.mp4"), "--debug")
    assert all(line.isprintable() for line in lines)
    assert lines[-1].endswith("in \\x9b2J.mp4")


def test_what_is_logged_steers_no_terminal(run_raising):
    def act():
        logger = logging.getLogger("flashtalk_core.media.audio.probe")
        logger.warning("sound %s", "\x1b[2J\udce9.wav")
        return 0

    assert run_raising(act) == (0, ["warning: sound \\x1b[2J\\xe9.wav"])


def test_a_working_folder_that_was_removed(run_raising, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, lines = run_raising(lambda: 0)
    assert code == 2
    assert "it was removed or renamed; change to another one" in lines[0]


def test_python_without_docstrings():
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "flashtalk_core", "render", "-o", "a.mp4"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: python -OO: the docstrings that it removes are needed")
    assert done.stderr.count("\n") == 1


def test_a_command_that_succeeds_prints_nothing(run_raising):
    assert run_raising(lambda: 0) == (0, [])


def test_log_is_readable_and_leaves_no_handler_behind(run_raising):
    logger = logging.getLogger("flashtalk_core.media.audio.probe")
    before = list(logging.getLogger("flashtalk_core").handlers)

    def act():
        logger.debug("unseen")
        logger.info("said")
        logger.warning("careful")
        return 0

    assert run_raising(act) == (0, ["said", "warning: careful"])
    assert logging.getLogger("flashtalk_core").handlers == before


def test_termination_is_like_ctrl_c(run_raising):
    before = signal.getsignal(signal.SIGTERM)

    def act():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 5)  # a place where Python looks after signals

    code, lines = run_raising(act)
    assert (code, lines) == (130, ["error: stopped on request"])
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "command"),
        (["sing"], "sing"),
        (["render"], "-o/--output"),
        (["render", "-o", "a.mp4", "--steps", "many"], "many"),
        (["render", "-o", "a.mp4", "--stepz", "4"], "--stepz"),
        (["render", "-o", "a.mp4", "--step", "4"], "--step"),
        (["render", "-o", "a.mp4", "--rule", "guess"], "guess"),
        (["render", "-o", "a.mp4", "--size", "768"], "such as 768x448"),
        (["render", "-o", "a.mp4", "--size", "-64x64"], "--size"),
        (["render", "-o", "a.mp4", "--seed", "1.5"], "1.5"),
        (["render", "-o", "a.mp4", "--size", "9" * 5000 + "x64"], "such as 768x448"),
        (["render", "-o", "a.mp4", "--seed", "9" * 5000], "--seed"),
        (["render", "-o", "a.mp4", "--rule", "\x1b[2J" * 900], "--rule"),
        (["render", "-o", ""], "is no name; name a file"),
        (["render", "-o", "a.mp4", "--image", " "], "is no name; name a file"),
        (
            ["render", "-o", "a.mp4", "--image", "https://a.org//b.png"],
            "https://a.org//b.png: an address, which is not read; download it first",
        ),
        (["render", "-o", "a.mp4", "--audio", "file:///b.wav"], "the path that follows 'file://'"),
        (["render", "-o", "a.mp4", "--size=--"], "--size: expected one argument"),
        (["parity"], "DIR"),
        (["bench"], "part"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, named):
    assert command_line.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("error: ")
    assert named in shown.err
    assert "--help" in shown.err
    assert len(shown.err) < 600
    assert shown.err.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["--bogus", "doctor"], ""),
        (["render", "-o", "a.mp4", "--bogus"], " render"),
        (["render", "-o", "a.mp4", "stray"], " render"),
        (["bench", "speed", "--bogus"], " bench speed"),
        (["bench", "--bogus", "speed"], " bench"),
        (["doctor", "--bogus", "--debug"], " doctor"),
    ],
)
def test_an_unknown_argument_names_the_help_of_its_command(capsys, arguments, command):
    assert command_line.main(arguments) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    unknown = "stray" if "stray" in arguments else "--bogus"
    help_of_it = f"`python -m flashtalk_core{command} --help`"
    assert line == f"error: unrecognized arguments: {unknown}; see {help_of_it}"


@pytest.mark.parametrize("words", command_line.TRAINING)
def test_commands_of_training_say_where_they_are(capsys, words):
    name = command_line.TRAINING[words]
    for typed in (words, ("--debug", *words, "corpus")):
        assert command_line.main([*typed]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"error: command {name!r}: it belongs to training; use ")
        assert f"`python -m flashtalk_training {name}`" in line


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for name in ("render", "doctor", "parity", "bench"):
        assert f"\n    {name}" in shown


def test_help_needs_no_heavy_package():
    script = (
        "import sys, runpy\n"
        "for name in ('torch', 'numpy', 'av', 'transformers'): sys.modules[name] = None\n"
        "sys.argv = ['flashtalk', 'render', '--help']\n"
        "runpy.run_module('flashtalk_core', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--mouth-strength" in done.stdout


def test_idle_threads_sleep_soon_unless_asked_otherwise():
    script = (
        "import os, sys, runpy\n"
        "sys.argv = ['flashtalk', 'render', '--help']\n"
        "try:\n    runpy.run_module('flashtalk_core', run_name='__main__')\n"
        "except SystemExit:\n    assert 'torch' not in sys.modules\n"
        "print(os.environ['GOMP_SPINCOUNT'])\n"
    )
    for asked, found in (({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7")):
        environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | asked
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.stdout.split()[-1] == found, done.stderr


@pytest.mark.parametrize("typed", ["render", "jobs", "doctor"])
def test_of_a_command_that_was_typed_no_other_is_built(typed):
    def choices(parser):
        return next(act.choices for act in parser._actions if act.dest == "command")

    assert list(choices(build_parser(command_line.PROGRAM, typed))) == [typed]
    everything = choices(build_parser(command_line.PROGRAM))
    assert typed in everything
    assert len(everything) > len(command_line.COMMANDS)
    assert choices(build_parser(command_line.PROGRAM, "rendre")).keys() == everything.keys()


def test_starting_a_render_imports_no_other_command():
    script = (
        "import sys; from flashtalk_core.cli.main import COMMANDS, TOOLS, main; main(['render']); "
        "others = set((COMMANDS | TOOLS).values()) - {'rendering.command'}; "
        "found = {f'flashtalk_core.cli.{name}' for name in others} & sys.modules.keys(); "
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "-o/--output" in done.stderr
