"""Readers under atheris, each in a process that is forked once all are imported."""

import json
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

from .trial import Trial, limited

if TYPE_CHECKING:
    from .reader import Reader

INSTRUMENTED = ["flashtalk_core", "flashtalk_training", "flashtalk_pack", "PIL"]
LIBRARIES = ("torch", "transformers", "safetensors.torch", "scipy.signal", "aiohttp.web", "av")
"""Imported as they are: to instrument them takes minutes, and their C code is not seen anyway."""


@dataclass(frozen=True)
class Prepared:
    """A reader with its samples, all imported that it needs."""

    reader: "Reader"
    samples: list[bytes]
    read: Callable[[bytes], object]
    folder: Path
    """The only one that it may write into."""


def prepare(names: Sequence[str], folder: Path) -> list[Prepared]:
    """Import what is tried, instrumented, and let each reader take its samples.

    Args:
        names: Of readers; none is all.
        folder: For their files.
    """
    for each in LIBRARIES:
        import_module(each)
    logging.getLogger("flashtalk_core").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    made = []
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from .readers import ALL

        for reader in ALL:
            if not names or reader.name in names:
                folders = [folder / f"{reader.slug}-{each}" for each in ("samples", "read")]
                for each in folders:
                    each.mkdir()
                samples, read = reader.samples(folders[0]), reader.opened(folders[1])
                for sample in samples:
                    with suppress(*reader.refusals):
                        read(sample)
                made.append(Prepared(reader, samples, read, folders[1]))
    return made


def search(prepared: Prepared, cases: int, seed: int, folder: Path) -> None:
    """Try ``cases`` inputs, write ``result.json`` and end the process.

    Args:
        prepared: The reader.
        cases: How many inputs.
        seed: Decides which.
        folder: For ``result.json``, and for ``case``, the input that is read just now.
    """
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, sample in enumerate(prepared.samples):
        (corpus / f"{number}").write_bytes(sample)
    with (folder / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    _Search(prepared, cases, folder).run(corpus, seed)


class _Search:
    def __init__(self, prepared, cases, folder):
        self._reader, self._samples = prepared.reader, prepared.samples
        self._cases, self._folder = cases, folder
        refusals = self._reader.refusals
        self._trial = Trial(
            self._reader.name,
            prepared.read,
            refusals,
            prepared.folder,
            names_files=self._reader.names_files,
        )
        self._case = (folder / "case").open("wb", buffering=0)
        self._before = 0

    def run(self, corpus, seed):
        longest = 2 * max(map(len, self._samples))
        options = [f"-seed={seed + 1}", f"-max_len={longest}", "-timeout=0", "-rss_limit_mb=0",
                   "-len_control=0", "-print_final_stats=1", "-verbosity=1"]  # fmt: skip
        atheris.Setup(["fuzz", *options, str(corpus)], self._take, custom_mutator=self._changed)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._before = _memory_kib("VmRSS")
        # It ends the process; the fuzzer itself takes some memory, too.
        with limited(self._reader.memory_bytes + 256 * 2**20):
            atheris.Fuzz()

    def _changed(self, data, max_size, seed):
        rng = random.Random(seed)
        kind = rng.random()
        if kind < 0.15 and data:
            return atheris.Mutate(data, max_size)
        # What led somewhere new is damaged already; of valid samples more is read to the end.
        seeds = (
            self._samples if kind > 0.6 or not data else [data] * 6 + [rng.choice(self._samples)]
        )
        return self._reader.change(rng, seeds)[:max_size]

    def _take(self, data):
        if not data:
            return  # libFuzzer's first, whatever the corpus
        self._case.seek(0)
        self._case.truncate()
        self._case.write(data)
        self._trial.take(data)
        if self._trial.count.cases >= self._cases:
            self._end()

    def _end(self):
        count = self._trial.count
        grown_kib = _memory_kib("VmHWM") - self._before
        result = {
            "cases": count.cases,
            "accepted": count.accepted,
            "refused": count.refused,
            "uncaught": {place: count.examples[place].hex() for place in count.uncaught},
            "memory_mib": max(0, grown_kib // 1024),
        }
        (self._folder / "result.json").write_text(json.dumps(result))
        sys.stdout.flush()
        os._exit(0)


def _memory_kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
