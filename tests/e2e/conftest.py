"""The command line as a user has it: the tiny model, small and short."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flashtalk_core.cli.main import main

RATE_HZ = 16_000
QUICK = ("--steps", "1", "--size", "32x32")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    lines: list[str]
    """Of standard error."""

    @property
    def error(self):
        """The one line of an error that came before anything else was said."""
        assert self.code == 2, self.lines
        assert len(self.lines) == 1, self.lines
        assert self.lines[0].startswith("error: ")
        return self.lines[0]


def write_speech(path, seconds=0.2, level=0.1):
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(round(seconds * RATE_HZ)) * level
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def speech(tmp_path):
    """Five frames of noise."""
    return write_speech(tmp_path / "speech.wav")


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "me.png"
    pixels = np.random.default_rng(1).integers(0, 255, (48, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def older(tmp_path):
    """A final file of an earlier render."""
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "talk.mp4"
    path.write_bytes(b"older")
    return path


@pytest.fixture
def render(capsys, portrait, speech, older):
    """Render, with good values for what is not given; over the older file by default."""

    def run(*options, image=portrait, audio=speech, output=older):
        files = ["--image", str(image), "--audio", str(audio), "-o", str(output)]
        code = main(["render", *files, *QUICK, *map(str, options)])
        shown = capsys.readouterr()
        assert shown.out == ""
        return Outcome(code, shown.err.splitlines())

    return run


@pytest.fixture
def refused(render, older):
    """Render what cannot be rendered; nothing may change. Return the line that says why."""

    def run(*options, **files):
        before = sorted(Path(older.parent).iterdir())
        line = render(*options, **files).error
        assert older.read_bytes() == b"older"
        assert sorted(Path(older.parent).iterdir()) == before
        return line

    return run


@pytest.fixture(scope="session")
def write_audio():
    return write_speech
