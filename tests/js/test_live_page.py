"""The page of ``serve`` in a real browser with a microphone, against the server and a lamp."""

from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from scipy import stats

from .live_sounds import write_minutes
from .live_stage import FIRST_FRAMES, NEW_FRAMES, TOKEN

pytestmark = pytest.mark.manual

FRAME_MS = 40
MINUTES_S = 192


def of_type(messages, kind):
    return [message for message in messages if message["type"] == kind]


def media_frame_at(seen, at_ms):
    """Return the frame of the session whose sound was played at a time of the page."""
    frames = sorted(seen["frames"])
    (before, after), *_ = [pair for pair in pairwise(frames) if pair[0][0] <= at_ms < pair[1][0]]
    share = (at_ms - before[0]) / (after[0] - before[0])
    time_s = before[1] + share * (after[1] - before[1])
    return of_type(seen["got"], "stream")[0]["frame"] + 25 * time_s


class MediaClock:
    """What the player plays at a time of the page; displays show it up to a refresh beside."""

    def __init__(self, frames):
        shown_ms, media_s, self.now_ms, self.current_s = np.array(sorted(frames)).T
        self.media_s = dict(zip(shown_ms, media_s, strict=True))

    def at(self, when_ms):
        """Return seconds of the stream."""
        near = np.abs(self.now_ms - when_ms) < 1000
        return np.polynomial.Polynomial.fit(self.now_ms[near], self.current_s[near], 1)(when_ms)


def test_a_voice_is_repeated_within_twelve_frames_of_what_is_declared(
    browser, live_stage, record_property
):
    seen = browser.play("repeatsWhatIsSaid", live_stage["open"])
    # The browser's noise suppressor takes half of the first utterance for noise.
    heard, lit = seen["open"]["heard"], seen["open"]["lit"][1:]
    delays = [at - max(h for h in heard if h < at) for at in lit]
    over = [delay / FRAME_MS - NEW_FRAMES - FIRST_FRAMES for delay in delays]
    record_property("frames beyond chunk and first frame", [round(one, 1) for one in over])
    assert median(over) <= 12, over
    # What the page says of the last one.
    frames = int(seen["latency"].split("(")[1].split()[0])
    assert min(abs(frames - delay / FRAME_MS) for delay in delays[-2:]) <= 2, (frames, delays)
    assert seen["muted"]
    # Held, it sends all that is heard; loose, nothing.
    counts = seen["counts"]
    assert counts["before"] == counts["loose"]
    assert 15 <= counts["held"] - counts["loose"] <= 45
    assert counts["released"] - counts["held"] <= 2
    assert seen["pressed"] == "true"
    assert seen["sent"][-1]["type"] == "end"
    assert not seen["pageErrors"]


def test_by_webrtc_a_voice_is_repeated_within_seven_frames_of_what_is_declared(
    browser, live_stage, record_property
):
    pytest.importorskip("aiortc", reason="WebRTC needs aiortc")
    seen = browser.play("isRepeatedByWebRTC", live_stage["open"])
    heard, lit = seen["heard"], seen["lit"][1:]  # as above
    delays = [at - max(h for h in heard if h < at) for at in lit]
    over = [delay / FRAME_MS - NEW_FRAMES - FIRST_FRAMES for delay in delays]
    record_property("frames beyond chunk and first frame", [round(one, 1) for one in over])
    assert median(over) <= 7, over
    assert not seen["pageErrors"]


def test_an_interruption_is_heard_within_three_frames(browser, live_stage, tones):
    seen = browser.play("isInterrupted", live_stage["open"], tones)
    button = seen["byButton"]
    # Picture and sound begin together.
    late = [lit - sounded for lit, sounded in zip(button["lit"], button["sounded"], strict=True)]
    assert abs(median(late)) <= FRAME_MS, late
    # Frames that had left when the server took it, and where the sound ends for who listens.
    (idle,) = of_type(button["got"], "idle")
    assert seen["clearMs"] // FRAME_MS <= 3
    assert abs(media_frame_at(button, button["silent"][-1]) - idle["frame"]) <= 1
    (played,) = of_type(button["got"], "played")
    assert played["interrupted"]
    assert of_type(button["sent"], "clear")
    # Text to speech, so that no chunk is waited for: the rest is what the way takes.
    assert float(seen["latency"].split()[0]) < 1.5
    voice = seen["byVoice"]
    assert len(of_type(voice["sent"], "clear")) == 2
    assert [one["interrupted"] for one in of_type(voice["got"], "played")] == [True, True]
    assert not seen["pageErrors"]


def test_pictures_and_sound_stay_together_for_three_minutes(
    browser, live_stage, tmp_path, record_property
):
    write_minutes(tmp_path / "minutes.wav", MINUTES_S)
    seen = browser.play("staysInStep", live_stage["open"], tmp_path / "minutes.wav", MINUTES_S)
    clock = MediaClock(seen["frames"])
    lit_s = np.array([clock.media_s[lit] for lit in seen["lit"]])
    shown_ms = np.median([1000 * (clock.at(lit) - clock.media_s[lit]) for lit in seen["lit"]])
    record_property("shown after it is due, ms", round(float(shown_ms), 1))
    # Where the player jumped there is one without the other.
    sounds = [(at, clock.at(at)) for at in seen["sounded"]]
    pairs = [(at, 1000 * (lit_s[np.abs(lit_s - s).argmin()] - s)) for at, s in sounds]
    times_ms, late_ms = np.array([pair for pair in pairs if abs(pair[1]) < 400]).T
    record_property("pairs", len(times_ms))
    first, last = np.median(late_ms[:10]), np.median(late_ms[-10:])
    record_property("picture after sound, ms", [round(float(one), 1) for one in (first, last)])
    times_min = (times_ms - times_ms[0]) / 60_000
    record_property("minutes", round(float(times_min[-1]), 2))
    slope, _, *range_of_slope = stats.theilslopes(late_ms, times_min)
    slopes = [round(float(one), 2) for one in (slope, *range_of_slope)]
    record_property("slope and its range, ms a minute", slopes)
    assert len(times_ms) > 0.8 * MINUTES_S / 2
    assert times_min[-1] > 3
    assert max(abs(first), abs(last)) <= FRAME_MS
    assert abs(shown_ms) <= FRAME_MS
    assert abs(slope) < 1
    assert not seen["pageErrors"]


def test_it_asks_for_a_token_comes_back_and_ends(browser, live_stage):
    seen = browser.play("comesBack", live_stage["guarded"], TOKEN)
    assert not seen["asked"]
    assert "token" in seen["refused"]
    first, second = of_type(seen["got"], "ready")
    assert first["session"] == second["session"]
    assert "token" not in of_type(seen["sent"], "start")[0]
    assert (seen["open"]["open_sessions"], seen["closed"]["open_sessions"]) == (1, 0)
    assert seen["open"]["sessions"] == 1
    assert not seen["pageErrors"]


def test_without_a_microphone_it_says_what_one_needs_and_files_work(browser, live_stage, tones):
    seen = browser.play("worksWithoutAMicrophone", live_stage["open"], tones)
    assert "https" in seen["why"]
    assert "--tls-cert" in seen["why"]
    assert seen["disabled"]
    assert "a.txt" in seen["unreadable"]
    assert seen["width"] <= 375
    assert seen["ground"] == "rgb(22, 22, 20)"  # dark
    assert seen["nameless"] == []
    assert not seen["pageErrors"]
