"""The program of training and its commands."""

import pytest

from flashtalk_core.cli.main import TRAINING
from flashtalk_training.cli.main import PROGRAM, main

pytestmark = pytest.mark.training


def test_the_core_knows_the_name_of_every_command():
    names = {command.__name__.rpartition(".")[2] for command in PROGRAM.commands}
    assert {*TRAINING.values()} == names


def test_an_unknown_argument_names_the_help_of_its_command(capsys):
    assert main(["lips", "a.mp4", "a.json", "--bogus"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    help_of_it = "`python -m flashtalk_training lips --help`"
    assert line == f"error: unrecognized arguments: --bogus; see {help_of_it}"
