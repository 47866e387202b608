"""Whatever a library raises about audio is reported as one error, or as damage."""

import errno

import av
import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media import container as media_container
from flashtalk_core.media.audio.decoding import frames
from flashtalk_core.media.audio.decoding.reader import AudioReader

pytestmark = pytest.mark.cpu

RAISED = [
    soundfile.LibsndfileError(29), RuntimeError("a psf_fseek failed\nhere"), AssertionError(),
    ValueError("no"), KeyError("x"), IndexError("y"), OSError(5, "Input/output error"),
    av.error.PatchWelcomeError(1, "not yet"), av.error.ExternalError(2, "bad"),
    NotImplementedError("z"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), EOFError("end"),
]  # fmt: skip


class Raising:
    """Stands for an object of a library, of which one method raises."""

    def __init__(self, real, name, error):
        self._real, self._name, self._error = real, name, error

    def __getattr__(self, name):
        if name != self._name:
            return getattr(self._real, name)

        def fail(*args, **kwargs):
            raise self._error

        return fail


def complaint(path):
    with pytest.raises(InvalidInputError) as caught, AudioReader(path) as reader:
        for _ in reader.blocks():
            pass
    assert str(caught.value).isprintable()
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.fixture
def paf(tmp_path):
    soundfile.write(tmp_path / "s.paf", np.zeros(900), 16_000, "PCM_16", format="PAF")
    return tmp_path / "s.paf"


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_faults_of_libsndfile_are_reported(paf, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    assert "reading it failed" in complaint(paf)


@pytest.mark.parametrize("error", RAISED[:-1], ids=repr)
def test_faults_of_a_demuxer_are_reported(make, tmp_path, monkeypatch, error):
    path = make.encode_audio(tmp_path / "s.wav", np.zeros((1, 9_000), np.float32), 16_000)
    real = frames._packets

    def packets(path, container, stream, tell):
        return real(path, Raising(container, "demux", error), stream, tell)

    monkeypatch.setattr(frames, "_packets", packets)
    assert "reading it failed" in complaint(path)


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_faults_of_a_decoder_are_reported_or_are_damage(make, tmp_path, monkeypatch, error):
    path = make.encode_audio(tmp_path / "s.wav", np.zeros((1, 9_000), np.float32), 16_000)
    real = frames._packets

    def packets(*args):
        for packet in real(*args):
            yield Raising(packet, "decode", error)

    monkeypatch.setattr(frames, "_packets", packets)
    is_damage = isinstance(error, av.error.PatchWelcomeError)
    assert ("it holds 0 samples" if is_damage else "reading it failed") in complaint(path)


@pytest.mark.parametrize("where", ["decode", "demux"])
def test_memory_that_runs_out_is_not_taken_for_damage(make, tmp_path, monkeypatch, where):
    path = make.encode_audio(tmp_path / "s.wav", np.zeros((1, 9_000), np.float32), 16_000)
    real = frames._packets

    def packets(path, container, stream, tell):
        if where == "demux":
            container = Raising(container, "demux", MemoryError())
        for packet in real(path, container, stream, tell):
            yield Raising(packet, "decode", MemoryError())

    monkeypatch.setattr(frames, "_packets", packets)
    with pytest.raises(MemoryError):
        AudioReader(path)


@pytest.mark.parametrize("is_large", [False, True])
def test_a_small_file_that_asks_for_gigabytes_is_damaged(tmp_path, monkeypatch, is_large):
    (tmp_path / "s.mp4").write_bytes(b"damaged")
    if is_large:
        monkeypatch.setattr(media_container, "_SMALL_BYTES", 1)

    def fail(*_, **__):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(av, "open", fail)
    if is_large:
        with pytest.raises(MemoryError):
            AudioReader(tmp_path / "s.mp4")
    else:
        assert "more memory than a file of 7 bytes" in complaint(tmp_path / "s.mp4")
