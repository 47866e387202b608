"""Log lines, whoever shows them."""

import ast
import logging
from pathlib import Path

import pytest

from flashtalk_core.errors import WeightsError
from flashtalk_core.excerpt import is_text, printable
from flashtalk_core.log import printable_log

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]
SHOWN = {"cli", "bench", "training", "parity", "log.py"}
ESCAPES = "\x1b]0;TITLE\x07 \x9b2J \u202e \r\n \x00 \u2066"


def test_what_is_logged_is_printable(caplog):
    logger = printable_log(logging.getLogger("flashtalk_core.test_log"))
    logger.warning("lora %s: %d left out", f"a{ESCAPES}b", 3)
    assert caplog.messages[0].isprintable()
    assert caplog.messages[0].startswith("lora a\\x1b]0;TITLE\\x07")
    assert caplog.messages[0].endswith("b: 3 left out")


def test_a_traceback_keeps_its_lines_only(caplog):
    logger = printable_log(logging.getLogger("flashtalk_core.test_log"))
    try:
        raise RuntimeError(f"of a library: {ESCAPES}")
    except RuntimeError:
        logger.exception("it stops")
    lines = caplog.text.splitlines()
    assert any("Traceback" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert "\x1b" not in caplog.text


def test_errors_are_printable_wherever_they_are_shown():
    message = str(WeightsError(f"a{ESCAPES}.bin: damaged"))
    assert message.isprintable()
    assert "TITLE" in message
    assert str(WeightsError("Zoë 视频.bin: 5 Ω")) == "Zoë 视频.bin: 5 Ω"


def test_bytes_that_are_no_text_are_shown_by_number():
    assert printable("caf\udce9.wav") == "caf\\xe9.wav"
    assert printable("\ud83d") == "\\ud83d"
    assert is_text("é \U0001f600")
    assert not is_text("caf\udce9")


def logs_of(path):
    """Yield calls of ``logging.getLogger`` in a file, and whether they are made printable."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    wrapped = {
        id(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "printable_log"
    }
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "getLogger":
            yield call.lineno, id(call) in wrapped


def test_every_log_that_comfyui_shows_is_made_printable():
    """The command line makes printable whatever it shows, training's logs among it."""
    own = [path for path in (ROOT / "flashtalk_core").rglob("*.py") if not SHOWN & {*path.parts}]
    found = [
        (f"{path.relative_to(ROOT)}:{line}", is_printable)
        for path in [*own, *(ROOT / "nodes").rglob("*.py")]
        for line, is_printable in logs_of(path)
    ]
    assert len(found) > 10
    assert not [place for place, is_printable in found if not is_printable]


def test_a_handler_that_fails_ends_no_work():
    class Failing(logging.Handler):
        def handle(self, record):
            raise RuntimeError("the console is gone")

    plain = logging.getLogger("flashtalk_core.test_log")
    logger, handler = printable_log(plain), Failing()
    plain.addHandler(handler)
    try:
        logger.warning("%d frames", 3)
        logger.exception("sent to no handler")
    finally:
        plain.removeHandler(handler)


def test_log_lines_name_where_they_were_logged(caplog):
    printable_log(logging.getLogger("flashtalk_core.test_log")).warning("here")
    assert caplog.records[0].filename == Path(__file__).name
