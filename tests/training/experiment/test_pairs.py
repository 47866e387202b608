"""Rows against Stage 1, seed by seed."""

import pytest

from flashtalk_training.drawn_faces.damage import DAMAGES
from flashtalk_training.experiment.pairs import HEAD, find_stage_1, last_common, paired_cells
from flashtalk_training.experiment.report import with_spread
from flashtalk_training.experiment.table import Row

pytestmark = pytest.mark.training

STAGE_1 = Row(name="Stage 1", steps=4)
STUDENT = Row(name="student", student="k5")


def result(lips, *colours):
    drift = {"chunk": [1.0, 10.0, 100.0, 200.0][: len(colours)], "colour_delta_e": list(colours)}
    drift["identity"] = [colour / 100 for colour in colours]
    return {"lips": {"correlation_mean": lips}, "drift": drift}


def with_recovery(found, *chunks):
    recovery = {kind: {"chunk": chunk} for kind, chunk in zip(DAMAGES, chunks, strict=True)}
    return {**found, "recovery": recovery}


def named(row, found, stage_1):
    return dict(zip(HEAD, paired_cells(row, found, stage_1, with_spread), strict=True))


def test_each_seed_is_compared_with_its_own_at_the_last_chunk_that_all_have():
    stage_1 = {0: result(0.90, 1.0, 2.0, 4.0, 8.0), 1: result(0.92, 1.0, 4.0, 9.0, 9.0)}
    found = {
        # Seeds differ by far more than the rows do.
        1: result(0.93, 1.0, 2.0, 6.0),
        0: result(0.91, 1.0, 2.0, 3.0, 3.0),
        2: result(0.5, 1.0, 2.0, 4.0, 90.0),
    }
    cells = named(STUDENT, found, stage_1)
    assert (cells["pairs"], cells["at chunk"]) == ("2", "100")
    assert cells["lips"] == "0.010 +-0.000"
    assert cells["colour"] == "-2.0 +-1.4"
    assert cells["identity"] == "-0.020 +-0.014"
    # The row's own drift counts every seed: 6 / 2, 3 / 2 and 4 / 2 at chunk 100.
    assert cells["last chunk"] == "100"
    assert cells["colour, last / 10"] == cells["identity, last / 10"] == "2.17 +-0.76"


def test_what_was_not_measured_is_left_empty():
    cells = named(STUDENT, {0: result(0.9, 1.0)}, {1: result(0.9, 1.0)})
    assert [cells[name] for name in HEAD[1:8]] == ["0", "", "", "", "", "", ""]
    assert [cells[name] for name in HEAD[8:]] == ["1", "", "", ""]
    # A run to chunk 10 has not grown since.
    assert named(STUDENT, {0: result(0.9, 1.0, 2.0)}, {})["colour, last / 10"] == ""
    assert named(STUDENT, {0: result(0.9)}, {})["last chunk"] == ""
    assert last_common([]) is None


def test_the_mean_chunk_of_recovery_is_compared():
    stage_1 = {0: with_recovery(result(0.9, 1.0), 3, 2, 1, 2), 1: result(0.9, 1.0)}
    found = {0: with_recovery(result(0.9, 1.0), 2, 1, 1, 2), 1: result(0.9, 1.0)}
    assert named(STUDENT, found, stage_1)["recovered"] == "-0.50 (1)"
    never = {0: with_recovery(result(0.9, 1.0), 2, None, 1, 2)}
    assert named(STUDENT, never, stage_1)["recovered"] == ""


def test_stage_1_is_the_row_without_student_and_guidance():
    guided = Row(name="teacher", guidance=(3.0, 4.0))
    assert find_stage_1([STUDENT, guided, STAGE_1]) == STAGE_1
    assert find_stage_1([STUDENT, guided]) is None
