"""A finished video goes on, and what it had stays as it was."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image, ImageOps

from flashtalk_core.cli.main import main
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.files.output_path import OutputPath
from flashtalk_core.files.whole_file import remove_asides
from flashtalk_core.media.audio.appended import append_audio
from flashtalk_core.media.video.reading.measure import measure_video
from flashtalk_core.media.video.stored import open_stored
from tests.faults.child import Settings
from tests.unit.jobs.test_record import RECORD

pytestmark = pytest.mark.cpu
posix = pytest.mark.skipif(sys.platform == "win32", reason="links of POSIX, and kill -9")

ROOT = Path(__file__).parents[3]
PORTRAIT = ROOT / "flashtalk_core" / "assets" / "example" / "portrait.png"
RATE_HZ = 16_000
SMALL = ["--size", "32x32", "--steps", "1", "--crf", "30"]
CHUNK = 28


def write_noise(path, seconds, rate_hz=RATE_HZ, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    soundfile.write(path, rng.uniform(-0.2, 0.2, (round(seconds * rate_hz), channels)), rate_hz)
    return path


def extend(videos, output):
    files = ["--extend", str(videos / "a.mp4"), "--audio", str(videos / "b.wav")]
    return ["render", "--image", str(PORTRAIT), *SMALL, *files, "-o", str(output)]


def interrupt(videos, output):
    """Begin an extended video, and kill it before the state of its first new chunk is in place."""
    trace = output.parent / "trace.txt"
    settings = Settings(
        arguments=tuple(extend(videos, output)), trace=str(trace), patch=("kill_at", "replace", 4)
    )
    command = [sys.executable, "-m", "tests.faults.child", json.dumps(asdict(settings))]
    assert subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == -9
    trace.unlink()
    OutputPath(output.resolve()).lock.unlink()
    remove_asides(OutputPath(output.resolve()).state)


def names(folder):
    return {path.name for path in folder.iterdir()}


def packets(path, kind):
    with av.open(str(path), options={"ignore_editlist": "1"}) as container:
        (track,) = (each for each in container.streams if each.type == kind)
        return [bytes(packet) for packet in container.demux(track) if packet.size]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A video of 40 frames, and one that goes on from it to 65."""
    folder = tmp_path_factory.mktemp("extended")
    first = write_noise(folder / "a.wav", 1.6)
    more = write_noise(folder / "b.wav", 1.0, 22_050, 2, seed=1)
    common = ["render", "--image", str(PORTRAIT), *SMALL]
    assert main([*common, "--audio", str(first), "-o", str(folder / "a.mp4")]) == 0
    extend = ["--extend", str(folder / "a.mp4"), "--audio", str(more)]
    assert main([*common, *extend, "-o", str(folder / "b.mp4")]) == 0
    return folder


def test_the_video_is_as_long_as_both_sounds(videos):
    measured = measure_video(videos / "b.mp4")
    assert (measured.num_frames, measured.is_exact) == (65, True)
    assert measured.num_samples == round(2.6 * RATE_HZ)


def test_whole_chunks_keep_their_packets(videos):
    before, after = (packets(videos / name, "video") for name in ("a.mp4", "b.mp4"))
    assert (len(before), len(after)) == (40, 65)
    assert after[:CHUNK] == before[:CHUNK]
    sounds = [packets(videos / name, "audio") for name in ("a.mp4", "b.mp4")]
    num_kept = CHUNK * RATE_HZ // 25 // 1024
    assert sounds[1][:num_kept] == sounds[0][:num_kept]


def test_the_sound_goes_on_where_it_was(videos):
    with av.open(str(videos / "b.mp4")) as container:
        heard = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    said, _ = soundfile.read(videos / "a.wav")
    for part in (slice(0, 8_000), slice(16_000, 24_000)):
        assert np.corrcoef(heard[0, part], said[part])[0, 1] > 0.9


def test_nothing_else_is_left(videos):
    assert {path.name for path in videos.iterdir()} == {"a.wav", "b.wav", "a.mp4", "b.mp4"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--extend", "a.mp4", "-o", "c.mp4"], "--audio: none is given"),
        (["--extend", "a.mp4", "--audio", "b.wav", "-o", "a.mp4"], "name another one"),
        (["--extend", "a.mp4", "--redo", "1", "--audio", "b.wav", "-o", "c.mp4"], "one at a time"),
        (["--extend", "b.wav", "--audio", "b.wav", "-o", "c.mp4"], "b.wav"),
        (["--extend", "a.mp4", "--audio", "b.wav", "-o", "c.mp4", "--size", "48x32"], "32x32"),
        (["--extend", "a.mp4", "--audio", "b.wav", "-o", "c.mp4", "--crf", "20"], "--crf of its"),
        (["--redo", "3", "-o", "a.mp4"], "has 2; choose"),
        (["--redo", "2-1", "-o", "a.mp4"], "chunks '2-1'"),
        (["--redo", "1", "--audio", "b.wav", "-o", "a.mp4"], "use the audio of its render"),
        (["--redo", "1", "--duration", "1", "-o", "a.mp4"], "leave them out"),
        (["--redo", "1", "-o", "missing.mp4"], "missing.mp4"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(videos, monkeypatch, capsys, given, said):
    monkeypatch.chdir(videos)
    before = {path.name: path.read_bytes() for path in videos.iterdir()}
    assert main(["render", "--image", str(PORTRAIT), *SMALL, *given]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert said in errors[-1]
    assert {path.name: path.read_bytes() for path in videos.iterdir()} == before


def test_the_portrait_has_to_be_named(videos, capsys):
    given = ["--redo", "1", "-o", str(videos / "a.mp4")]
    assert main(["render", *given]) == 2
    assert "--image: none is given" in capsys.readouterr().err


def test_a_video_of_another_program_is_refused(tmp_path):
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        track = container.add_stream("libx264", rate=25)
        track.width = track.height = 32
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        container.mux([*track.encode(image), *track.encode(None)])
    with pytest.raises(InvalidInputError, match="its tracks are h264, not"):
        open_stored(tmp_path / "v.mp4")


def test_an_interrupted_render_of_the_output_is_kept_and_told(videos, tmp_path, capsys):
    for name in ("a.mp4", "b.wav"):
        (tmp_path / name).symlink_to(videos / name)
    given = ["--extend", str(tmp_path / "a.mp4"), "--audio", str(tmp_path / "b.wav")]
    output = OutputPath(tmp_path / "c.mp4")
    RECORD.write(output.state)
    output.partial.write_bytes(b"of another program")
    command = ["render", "--image", str(PORTRAIT), *SMALL, *given, "-o", str(output.final)]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert f"this one begins with {tmp_path / 'a.mp4'} (with other settings: " in said
    assert "starts anew" not in said
    assert "28 frames are there, it goes on with chunk 2" in said
    assert [path.read_bytes() for path in output.older] == [b"of another program"]


@pytest.mark.parametrize("name", ["c.partial.wav", "c.partial.mp4"])
def test_a_file_of_the_user_on_the_way_is_refused_and_stays(videos, tmp_path, name, capsys):
    own = tmp_path / name
    shutil.copy(videos / ("b.wav" if own.suffix == ".wav" else "a.mp4"), own)
    before = own.read_bytes()
    output = ["-o", str(tmp_path / "c.mp4")]
    sources = {".wav": (videos / "a.mp4", own), ".mp4": (own, videos / "b.wav")}
    video, audio = sources[own.suffix]
    given = ["--extend", str(video), "--audio", str(audio)]
    assert main(["render", "--image", str(PORTRAIT), *SMALL, *given, *output]) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_another_portrait_is_warned_of(videos, tmp_path, capsys):
    with Image.open(PORTRAIT) as image:
        ImageOps.invert(image.convert("RGB")).save(tmp_path / "other.png")
    for portrait, is_told in ((PORTRAIT, False), (tmp_path / "other.png", True)):
        given = extend(videos, tmp_path / f"{portrait.stem}.mp4")
        given[given.index(str(PORTRAIT))] = str(portrait)
        assert main(given) == 0
        assert ("is this the portrait that it was rendered" in capsys.readouterr().err) is is_told


def test_redo_without_audio_speaks_of_no_example(videos, tmp_path, capsys):
    shutil.copy(videos / "a.mp4", tmp_path)
    given = ["--redo", "2", "-o", str(tmp_path / "a.mp4")]
    assert main(["render", "--image", str(PORTRAIT), *SMALL, *given]) == 0
    assert "example" not in capsys.readouterr().err


def test_audio_that_is_there_already_keeps_its_time(tmp_path):
    first, then = (write_noise(tmp_path / f"{i}.wav", 0.5, seed=i) for i in range(2))
    append_audio(first, then, tmp_path / "both.wav")
    before = (tmp_path / "both.wav").stat().st_mtime_ns
    append_audio(first, then, tmp_path / "both.wav")
    assert (tmp_path / "both.wav").stat().st_mtime_ns == before
    append_audio(first, first, tmp_path / "both.wav")
    assert (tmp_path / "both.wav").stat().st_mtime_ns != before
    assert soundfile.info(tmp_path / "both.wav").frames == RATE_HZ


@pytest.fixture(scope="module")
def interrupted(videos, tmp_path_factory):
    """An interrupted extended video behind a link of another name in another folder."""
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "links").mkdir()
    link = folder / "links" / "link.mp4"
    link.symlink_to("../c.mp4")
    interrupt(videos, link)
    assert names(folder) == {"links", "c.partial.mp4", "c.partial.state", "c.partial.wav"}
    shutil.copytree(folder, folder.with_name("kept"), symlinks=True)
    return link


@pytest.fixture
def linked(interrupted):
    """The same in the same place, as its state names it, whatever a test did to it."""
    folder = interrupted.parent.parent
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("kept"), folder, symlinks=True)
    return interrupted


@posix
def test_behind_a_link_it_goes_on_and_leaves_nothing(videos, linked, capsys):
    folder = linked.parent.parent
    assert main(extend(videos, linked)) == 0
    said = capsys.readouterr().err
    assert "28 frames are there, it goes on with chunk 2" in said
    assert names(folder) == {"links", "c.mp4"}
    assert (folder / "c.mp4").read_bytes() == (videos / "b.mp4").read_bytes()


@posix
def test_a_resumed_job_leaves_no_audio(videos, linked):
    folder = linked.parent.parent
    assert main(["jobs", "resume", str(linked)]) == 0
    assert names(folder) == {"links", "c.mp4"}
    assert (folder / "c.mp4").read_bytes() == (videos / "b.mp4").read_bytes()


@posix
def test_a_removed_job_leaves_no_audio(linked, capsys):
    folder = linked.parent.parent
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    assert main(["jobs", "list", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["MB"] == round(size / 1e6, 1)
    assert main(["jobs", "remove", str(linked)]) == 0
    assert names(folder) == {"links"}


def test_a_file_in_the_place_of_the_audio_is_refused_and_stays(videos, tmp_path, capsys):
    own = write_noise(tmp_path / "c.partial.wav", 0.2)
    before = own.read_bytes()
    assert main(extend(videos, tmp_path / "c.mp4")) == 2
    assert "a file of another program is there; move it away" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert names(tmp_path) == {"c.partial.wav"}


def test_somebodys_audio_of_that_name_is_refused_and_stays(videos, tmp_path, capsys):
    own = write_noise(tmp_path / "c.partial.wav", 0.2)
    before, given = own.read_bytes(), ["--audio", str(own), "-o", str(tmp_path / "c.mp4")]
    for more in ([], ["--extend", str(videos / "a.mp4")]):
        assert main(["render", "--image", str(PORTRAIT), *SMALL, *given, *more]) == 2
        assert "c.partial.wav would be overwritten" in capsys.readouterr().err
        assert own.read_bytes() == before
