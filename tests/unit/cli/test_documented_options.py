"""docs/COMMAND_LINE.md names every option of every command, and no other."""

import argparse
import re
from pathlib import Path

import pytest

from flashtalk_core.cli.main import PROGRAM
from flashtalk_core.cli.program import build_parser
from flashtalk_training.cli.main import PROGRAM as TRAINING

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "COMMAND_LINE.md").read_text(encoding="utf-8")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")
EVERYWHERE = {"-h", "--help", "--debug"}
COMMAND = re.compile(
    r"python -m (flashtalk_core|flashtalk_training)((?: [a-z][a-z-]*)*)([^`|&>#;\n]*)"
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def parsers(parser, name=()):
    """Return the parsers of commands that have no further commands, by name."""
    actions = parser._actions
    below = [each for each in actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        return {" ".join(name): parser}
    return {
        command: found
        for word, child in below[0].choices.items()
        for command, found in parsers(child, (*name, word)).items()
    }


COMMANDS = parsers(build_parser(PROGRAM))
PROGRAMS = {
    "flashtalk_core": COMMANDS,
    "flashtalk_training": parsers(build_parser(TRAINING)),
}


def agrees(name, words):
    """Whether words begin a command, or name it and an argument."""
    each, given = name.split(), words.split()
    length = min(len(each), len(given))
    return each[:length] == given[:length]


def options(parser):
    return {text for action in parser._actions for text in action.option_strings}


def documented(command):
    """Return the options in the first cells of `render`'s table, or in the row of a command."""
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    if command == "render":
        cells = [row[0] for row in rows if row[0].startswith("| `-")]
    else:
        cells = [row[2] for row in rows if re.match(rf"\| `{command}(?: [^`]*)?`$", row[0])]
    return set(OPTION.findall(" ".join(cells)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_names_the_options_of_a_command(command):
    assert documented(command) - EVERYWHERE == options(COMMANDS[command]) - EVERYWHERE


def test_the_page_names_the_words_for_a_speed():
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `--speed` |"))
    speed = next(a for a in COMMANDS["render"]._actions if a.dest == "speed")
    assert [word for word in speed.choices if f"`{word}`" not in row] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documents_exist(page):
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for program, words, rest in COMMAND.findall(text):
        found = [parser for name, parser in PROGRAMS[program].items() if agrees(name, words)]
        assert found, f"{program}{words}"
        known = EVERYWHERE.union(*map(options, found))
        assert set(OPTION.findall(rest)) <= known, f"{program}{words}{rest}"


@pytest.mark.parametrize(
    ("words", "is_one"),
    [(" bench", True), (" bench speed", True), (" bench sped", False), (" parity tests", True)],
)
def test_what_is_a_command(words, is_one):
    assert any(agrees(name, words) for name in COMMANDS) is is_one
