"""Audio is read several times; its content must stay what was measured."""

import os

import av
import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.first_pass import FirstPass
from flashtalk_core.media.audio.marks import MARK_SAMPLES, AudioMarks, measured_blocks
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio
from flashtalk_core.media.audio.source import AudioArray
from flashtalk_core.media.video.writer import Mp4Writer

pytestmark = pytest.mark.cpu

RATE_HZ, SECONDS = 16_000, 20


def noise(seed=0, seconds=SECONDS, channels=1):
    drawn = np.random.default_rng(seed).standard_normal((seconds * RATE_HZ, channels)) * 0.1
    return drawn.astype(np.float32)


def write(path, samples):
    soundfile.write(path, samples, RATE_HZ)
    return path


@pytest.fixture
def speech(tmp_path):
    return write(tmp_path / "speech.wav", noise())


@pytest.fixture
def final(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"older")
    return path


def cut(path):
    os.truncate(path, 200_000)  # 6.2 s are left


def overwrite_keeping_time_and_size(path):
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(400_000)  # 12.5 s
        file.write(bytes(100_000))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def empty(path):
    path.write_bytes(b"")


def touch(path):
    os.utime(path)


def rename_another_over_it(path):
    other = write(path.with_name("other.wav"), noise(1))
    other.replace(path)


def delete(path):
    path.unlink()


def grow(path):
    with path.open("ab") as file:
        file.write(bytes(100_000))


CHANGES = [cut, overwrite_keeping_time_and_size, empty]
HARMLESS = [touch, rename_another_over_it, delete, grow]


def render(final, audio, change):
    with Mp4Writer(final, (32, 32), audio, preset="ultrafast") as writer:
        for first in range(0, writer.num_frames, 25):
            count = min(25, writer.num_frames - first)
            writer.write(np.zeros((count, 32, 32, 3), np.uint8))
            if first == 25:
                change(audio.source)


@pytest.mark.parametrize("change", CHANGES)
def test_audio_that_changes_stops_the_video_and_keeps_the_older_one(speech, final, change):
    audio = probe_audio(speech)
    with pytest.raises(InvalidInputError, match=r"changed while it was rendered, .*; keep") as e:
        render(final, audio, change)
    assert final.read_bytes() == b"older"
    partial = final.with_name("v.partial.mp4")
    assert str(partial) in e.value.__notes__[0]
    with av.open(str(partial)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 50


@pytest.mark.parametrize("change", HARMLESS)
def test_a_changed_file_with_the_same_samples_stops_nothing(speech, final, change):
    audio = probe_audio(speech)
    render(final, audio, change)
    assert final.read_bytes() != b"older"


@pytest.mark.parametrize("change", CHANGES)
def test_the_model_never_hears_audio_that_changed(speech, change):
    audio = probe_audio(speech)
    with AnalysisStream(audio) as stream:
        stream.read(0, 1)
        change(speech)
        with pytest.raises(InvalidInputError, match="changed while it was rendered"):
            stream.read(1, RATE_HZ * SECONDS)


@pytest.mark.parametrize(
    "other", [noise(1), noise(0, 3), noise(0, SECONDS, 2), np.zeros_like(noise())]
)
def test_audio_replaced_before_the_render_is_noticed(speech, other):
    audio = probe_audio(speech)
    write(speech, other)
    with pytest.raises(InvalidInputError, match="changed while it was rendered"):
        list(measured_blocks(AudioReader(speech), audio))


def test_audio_that_changes_while_it_is_measured_is_noticed(tmp_path, monkeypatch):
    mono = noise()
    path = write(tmp_path / "s.wav", np.concatenate([mono, -mono], axis=1))  # measured twice
    finish = FirstPass.finish
    monkeypatch.setattr(FirstPass, "finish", lambda first: (finish(first), write(path, mono)))
    with pytest.raises(InvalidInputError, match=r"its samples differ after 0\.0 s"):
        probe_audio(path)


def test_audio_in_memory_that_is_changed_by_others_is_noticed():
    samples = noise().T.copy()
    audio = probe_audio(AudioArray("from a node", samples, RATE_HZ))
    samples[:, 200_000] = 0.5
    with pytest.raises(InvalidInputError, match=r"its samples differ after 12\.3 s"):
        list(measured_blocks(AudioReader(audio.source), audio))


def test_a_part_is_compared_as_a_part(speech):
    audio = probe_audio(speech, 3.0, 9.0)
    assert sum(block.shape[1] for block in measured_blocks(AudioReader(speech), audio)) == 144_000
    change = write(speech, np.concatenate([noise()[:48_000], noise(1)[48_000:]]))
    with pytest.raises(InvalidInputError, match=r"its samples differ after 3\.0 s"):
        list(measured_blocks(AudioReader(change), audio))


def test_checksums_do_not_depend_on_how_the_audio_is_split():
    samples = noise(0, 10, 2).T
    whole, parts = AudioMarks(), AudioMarks()
    whole.update(samples)
    for block in np.array_split(samples, 7, axis=1):
        parts.update(block)
    assert whole.marks() == parts.marks()
    assert len(whole.marks()) == -(-samples.shape[1] // MARK_SAMPLES)
