"""What is said where a package is missing."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flashtalk_core import packages
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.resampling import StreamResampler
from flashtalk_core.packages import install_command

pytestmark = pytest.mark.cpu

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["ftfy", "soxr"])
def test_the_packs_own_packages_come_with_the_list_and_the_interpreter(name):
    command = install_command(name)
    assert command == f'"{sys.executable}" -m pip install -r "{ROOT / "requirements.txt"}"'


def test_the_command_runs():
    asked = shlex.split(install_command("soxr"))
    asked[3:4] = ["install", "--dry-run", "--no-deps", "--no-index", "--quiet"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stderr


def test_another_package_comes_by_name_and_version():
    assert install_command("fa3-fwd") == f'"{sys.executable}" -m pip install fa3-fwd'
    spandrel = f'"{sys.executable}" -m pip install "spandrel>=0.4.1,<0.5"'
    assert install_command("spandrel") == spandrel


def test_a_core_that_was_installed_alone_has_no_list(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert install_command("soxr") == f'"{sys.executable}" -m pip install soxr'


def test_without_soxr_audio_at_another_rate_says_what_to_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(InvalidInputError) as caught:
        StreamResampler(44_100, 16_000, 1)
    assert str(caught.value) == (
        "audio at 44100 Hz cannot be resampled to 16000 Hz: package soxr is not installed; "
        f"run `{install_command('soxr')}`"
    )
    StreamResampler(16_000, 16_000, 1)  # nothing to do


def test_without_soundfile_unknown_audio_says_what_might_read_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "s.mat").write_bytes(b"no sound" * 100)
    with pytest.raises(InvalidInputError) as caught:
        AudioReader(tmp_path / "s.mat")
    message = str(caught.value)
    assert "not audio that PyAV (libsndfile was not tried: package soundfile is not " in message
    assert install_command("soundfile") in message
    assert message.endswith("export it again as WAV, MP3, M4A, FLAC or Ogg")
