"""`bench live` with the bundled model, 32 x 32."""

import json

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
        (["--speed", "0"], "speed 0: use more than 0"),
        (["--factor", "-1"], "factor -1"),
        (["--start", "1000"], "nothing after 1000 s"),
        (["--vad", "--no-gate"], "leave one of them out"),
        (["--chunk-frames", "32"], "chunk of 32 frames: use 4n + 1"),
        (["--look-ahead", "-1"], "look-ahead -1: use 0 to 25 frames"),
    ],
)
def test_what_cannot_be_is_refused(capsys, options, message):
    assert main([*SMALL, *options]) != 0
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
