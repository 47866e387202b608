"""The files of one render that is to be damaged, and what can be seen of it from outside."""

import json
import shutil
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.media.video.older_partials import num_saved_frames
from flashtalk_core.media.video.reading.measure import measure_video
from tests.faults.child import QUICK, Settings
from tests.faults.processes import LIMIT_S, POLL_S, Run

DURATION_S = 4.0
NUM_FRAMES, NUM_CHUNKS = 100, 4
_REPEAT = 2
CHUNK_FRAMES = ChunkConfig().num_new_frames


@dataclass(frozen=True)
class Pace:
    """Processor time that an unbroken run takes on this machine."""

    start_s: float
    """From the start of its process to the first chunk."""
    chunks_s: float
    """From there to its end."""


class Scene:
    """A folder for inputs and one for the video, which may be a disk of its own."""

    def __init__(self, folder: Path, out: Path, pace: Pace | None = None):
        """``pace`` for faults whose moment is a share of it."""
        self.folder, self.out, self.pace = folder, out, pace
        self.portrait, self.speech = folder / "me.png", folder / "speech.wav"
        shutil.copy(EXAMPLE / "portrait.png", self.portrait)
        write_speech(self.speech)
        self.trace = folder / "trace.txt"
        self.output = OutputPath(out / "talk.mp4")

    def settings(self, **given):
        given.setdefault("arguments", self.arguments())
        return Settings(trace=str(self.trace), **given)

    def arguments(self, *more, output=None):
        files = ("--image", str(self.portrait), "--audio", str(self.speech))
        name = str(output or self.output.final)
        return ("render", *files, *QUICK, "--duration", str(DURATION_S), "-o", name, *more)

    def start(self, **given):
        return Run(self.settings(**given), self.folder)

    @property
    def num_begun(self):
        """Chunks that all runs have begun."""
        return self.trace.read_text().count("chunk") if self.trace.exists() else 0

    @property
    def num_saved(self):
        """Chunks that the state file says are done."""
        return saved_chunks(self.output.state)

    @property
    def num_bytes(self):
        """Bytes of the partial file."""
        try:
            return self.output.partial.stat().st_size
        except OSError:
            return 0

    def playable_frames(self, folder=None):
        """Frames in the longest video of the folder that plays, whatever it is called."""
        counts = [frames_of(path) for path in (folder or self.out).glob("*.mp4")]
        return max(counts, default=0)

    def names(self):
        return sorted(path.name for path in self.out.iterdir())


def write_speech(path):
    """Write the bundled speech as a file that is too large to be read ahead, 1.7 MB."""
    with wave.open(str(EXAMPLE / "speech.wav")) as file:
        rate_hz = file.getframerate()
        data = file.readframes(round(1.1 * DURATION_S * rate_hz))
    samples = np.repeat(np.frombuffer(data, np.int16).astype(np.int32) << 16, _REPEAT)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(4)
        file.setframerate(_REPEAT * rate_hz)
        file.writeframes(np.stack([samples, samples], axis=1).tobytes())


def saved_chunks(state):
    """Return the chunk that comes next by a state file, 0 if there is none."""
    try:
        data = state.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return json.loads(header["__metadata__"]["flashtalk_job"])["chunk_index"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def frames_of(path):
    """Return the frames of a video, plain or in fragments, that are decoded without an error."""
    count = num_saved_frames(path)
    if count is not None:
        return count
    try:
        return measure_video(path).num_frames
    except Exception:  # it is no video
        return 0


def wait_until(is_true, run):
    """Wait for something that a run brings about; return whether it did."""
    deadline_s = time.monotonic() + LIMIT_S
    while not is_true():
        if run.is_over or time.monotonic() > deadline_s:
            return is_true()
        time.sleep(POLL_S)
    return True
