"""A reader of outside data as the fuzzers see it: samples, damage, what reads them, its bounds.

To add a reader, write one entry into the ``READERS`` of a module of ``tests/fuzz/readers`` (a new
module is added to ``ALL`` in its ``__init__.py``); ``readers/jobs.py`` is an example. The tests,
the guided run, its limits and the table of the documents follow from it.
A text format (CSV, JSONL) takes ``change=changed_lines``, a JSON one ``change=changed_json``, and a
safetensors file with JSON in its header ``change=changed_safetensors``. A file that a reader failed
at goes, as small as it can be made, into ``tests/fuzz/found/<name of the reader, - for spaces>/``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from flashtalk_core.errors import FlashTalkError

from .mutate import mutated

MIB = 2**20
Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """One reader, and how it is tried."""

    name: str
    samples: Callable[[Path], list[bytes]]
    """Makes valid inputs; may write into the folder it is given."""
    opened: Callable[[Path], Read]
    """Gets a folder, and returns what reads one input; files are written there and nowhere else."""
    change: Callable[[Random, list[bytes]], bytes] = mutated
    """Makes a damaged input of one of several."""
    share: int = 1_000
    """Cases of it in a run of 100,000."""
    memory_bytes: int = 1024 * MIB
    """Address space that one input may take on top of what the process has."""
    refusals: tuple[type[Exception], ...] = (FlashTalkError,)
    """How an input is refused: in one printable line of at most 2,000 characters."""
    names_files: bool = False
    """Whether inputs name the files that are to be read, as a user does, so that any may be."""

    @property
    def slug(self) -> str:
        """Name of its folder of found cases."""
        return self.name.replace(" ", "-").replace("/", "-")
