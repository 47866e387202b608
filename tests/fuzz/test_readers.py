"""Damaged inputs of every reader: each is read, or refused in one printable line, within bounds.

``python -m pytest -m manual tests/fuzz -s``; FUZZ_CASES in the environment sets how many of each,
FUZZ_SEED which. ``python -m tests.fuzz.guided`` looks for cases by coverage instead.
"""

import logging
from contextlib import suppress

import pytest

from .mutate import cases
from .readers import ALL
from .trial import run

pytestmark = pytest.mark.manual


@pytest.fixture
def quiet():
    logging.getLogger("flashtalk_core").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("flashtalk_core").setLevel(logging.NOTSET)


@pytest.mark.parametrize("reader", ALL, ids=lambda reader: reader.slug)
def test_damaged_inputs_are_read_or_refused(tmp_path, quiet, reader):
    made, folder = tmp_path / "samples", tmp_path / "read"
    made.mkdir()
    folder.mkdir()
    samples, read = reader.samples(made), reader.opened(folder)
    for sample in samples:  # what is imported takes its time once
        with suppress(*reader.refusals):
            read(sample)
    damaged = cases(reader.share, lambda rng: reader.change(rng, samples))
    count = run(
        reader.name, read, damaged, reader.refusals, folder, reader.memory_bytes,
        names_files=reader.names_files,
    )  # fmt: skip
    assert not count.uncaught, str(count)
    assert [each.name for each in tmp_path.iterdir() if each not in (made, folder)] == []
