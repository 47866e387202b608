"""`bench live` with the bundled model, 32 x 32."""

import json
import wave

import av
import pytest

from flashtalk_core.bench.live.mix import MixBench, simulate_mix
from flashtalk_core.cli.main import main

pytestmark = pytest.mark.cpu

SMALL = ["bench", "live", "--size", "32x32", "--steps", "1", "--device", "cpu", "--json"]


def measure(capsys, *options):
    assert main([*SMALL, *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_response_is_what_arithmetic_says(capsys, tmp_path):
    path = tmp_path / "live.mp4"
    found = measure(
        capsys,
        "--duration",
        "3",
        "--factor",
        "0.5",
        "--no-gate",
        "--clear-at",
        "2",
        "-o",
        str(path),
    )
    (utterance,), (clear,), (session,) = found["utterances"], found["clears"], found["session"]
    # It begins with the first piece of 20 ms, and at a whole frame.
    assert -0.04 <= utterance["response_s"] - session["expected_response_s"] <= 0.04 + 1e-6
    assert utterance["interrupted"]
    assert (session["held"], clear["frames_out"]) == (0, 0)
    assert clear["sound_stops_s"] <= 0.14 + 1e-6
    assert session["most_early_ms"] <= 100 + 1e-6
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == session["frames"]


def test_more_than_real_time_is_refused_before_it_begins(capsys):
    assert main([*SMALL, "--steps", "100", "--idle", "still", "--duration", "1"]) != 0
    assert "times as long as it lasts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--speed", "0"], "speed 0: use 0.1 to 1000"),
        (["--speed", "inf"], "speed inf: use 0.1 to 1000"),
        (["--factor", "-1"], "factor -1"),
        (["--factor", "inf"], "factor inf: use more than 0, as 0.6, and at most 1000"),
        (["--start", "1000"], "nothing after 1000 s"),
        (["--start", "nan"], "audio start nan s: use 0 or a later second"),
        (["--duration", "-1"], "audio duration -1.0 s: use more than 0 s"),
        (["--duration", "inf"], "audio duration inf s"),
        (["--clear-at", "1", "nan"], "clear at nan s: use 0 to 14.0, the audio lasts 10.0 s"),
        (["--clear-at", "inf"], "clear at inf s: use 0 to 14.0"),
        (["--no-gate", "--speed", "10", "--audio", "{minutes}", "--duration", "90"],
         "audio of 90 s at speed 10: 81 s of it would wait to be played, and at most 50 may"),
        (["-o", "none/live.mp4"], "no folder none; create it first"),
        (["-o", "live.avi"], "'.avi' is not written; use a name in .mp4"),
        (["--vad", "--no-gate"], "leave one of them out"),
        (["--chunk-frames", "32"], "chunk of 32 frames: use 4n + 1"),
        (["--chunk-frames", "17", "17"], "one is named twice"),
        (["--look-ahead", "-1"], "look-ahead -1: use 0 to 25 frames"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_weights_are_read(
    capsys, monkeypatch, tmp_path, options, message
):
    def open_engine(*_given):
        pytest.fail("weights were read")

    monkeypatch.setattr("flashtalk_core.bench.live.measure.LocalEngine", open_engine)
    monkeypatch.chdir(tmp_path)
    minutes = tmp_path / "minutes.wav"
    with wave.open(str(minutes), "wb") as file:
        file.setparams((1, 2, 1000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 1000 * 120))
    assert main([*SMALL, *(option.format(minutes=minutes) for option in options)]) == 2
    assert message in capsys.readouterr().err


def test_what_never_left_has_no_response(capsys):
    found = measure(capsys, "--duration", "1", "--factor", "0.5", "--no-gate", "--clear-at", "0.1")
    assert found["utterances"][0]["response_s"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--chunk-ms 0", "chunk-ms 0: use more than 0, up to 60000"),
        ("--chunk-ms inf", "chunk-ms inf: use"),
        ("--chunk-ms 500 --first-ms 501", "first-ms 501.0: use more than 0, up to chunk-ms, 500"),
        ("--chunk-ms 500 --capacity 0", "capacity 0: use 1 or more"),
        ("--chunk-ms 500 --minutes inf", "minutes inf: use 1 to 10080"),
        ("--chunk-ms 500 --sessions 1 0", "sessions 0: use 1 to 1000"),
        ("--chunk-ms 500 --chunk-frames 10", "chunk of 10 frames: use 4n + 1, from 9"),
        ("--chunk-ms 60000 --minutes 1 --sessions 1", "nobody was answered in 1 minutes; use a"),
    ],
)
def test_speakers_that_cannot_be_simulated_are_refused(capsys, options, message):
    assert main(["bench", "speakers", *options.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("sessions", "capacity"), [(1, 1), (3, 3)])
def test_agents_that_share_a_device_are_heard(sessions, capacity):
    bench = MixBench(num_frames=33, chunk_s=0.3, first_s=0.2, sessions=sessions, minutes=1.0)
    row = simulate_mix(bench)
    assert row.capacity == 3
    assert row.utterances >= 3 * sessions
    assert row.held_frames == 0
    assert 0.2 < row.response_median_s < 1.0
    assert row.clear_max_s <= 0.14
    assert row.load < 0.27 * capacity
