"""Audio that goes on with other audio is written once, exactly, and over no file of the user."""

import errno

import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import OutputError
from flashtalk_core.media.audio import appended as module
from flashtalk_core.media.audio.appended import append_audio, is_appended_audio
from flashtalk_core.media.audio.decoding.reader import AudioReader

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000


def write_noise(path, channels, seconds=0.5, seed=0):
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * RATE_HZ), channels))
    soundfile.write(path, noise, RATE_HZ, subtype="FLOAT")
    return path


@pytest.fixture
def sounds(tmp_path):
    return [write_noise(tmp_path / f"{seed}.wav", 2, seed=seed) for seed in range(2)]


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_every_reader_finds_the_samples_of_both(tmp_path, channels):
    sounds = [write_noise(tmp_path / f"{seed}.wav", channels, seed=seed) for seed in range(2)]
    target = tmp_path / "both.wav"
    append_audio(*sounds, target)
    wanted = np.concatenate(
        [soundfile.read(each, dtype="float32", always_2d=True)[0] for each in sounds]
    )
    found, rate_hz = soundfile.read(target, dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    assert np.array_equal(found, wanted)
    with AudioReader(target) as reader:
        read = np.concatenate(list(reader.blocks()), axis=1)
        assert (reader.rate_hz, reader.missing_s, reader.notes) == (RATE_HZ, 0.0, [])
    assert np.array_equal(read, wanted.T)


def test_what_is_there_is_compared_and_not_written_again(sounds, tmp_path, monkeypatch):
    target = tmp_path / "both.wav"
    append_audio(*sounds, target)
    with monkeypatch.context() as patch:
        patch.setattr(module._Joined, "write", lambda *_: pytest.fail("it is written again"))
        append_audio(*sounds, target)
    for damage in (b"", b"more"):
        data = target.read_bytes()
        target.write_bytes(data + damage if damage else data[:-4])
        append_audio(*sounds, target)
        assert soundfile.info(target).frames == RATE_HZ


def test_a_file_of_another_program_stays(sounds, tmp_path):
    target = write_noise(tmp_path / "own.wav", 1)
    before = target.read_bytes()
    assert not is_appended_audio(target)
    with pytest.raises(OutputError, match="a file of another program is there"):
        append_audio(*sounds, target)
    assert target.read_bytes() == before
    append_audio(*sounds, tmp_path / "both.wav")
    assert is_appended_audio(tmp_path / "both.wav")
    assert not is_appended_audio(tmp_path / "none.wav")


def test_a_limit_of_the_system_is_an_error_of_the_system(sounds, tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    before = sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is what matters
            append_audio(*sounds, tmp_path / "both.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno == errno.EFBIG
    assert sorted(tmp_path.iterdir()) == before
