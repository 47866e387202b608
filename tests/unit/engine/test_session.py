"""The loop over chunks: exact length, state in and out, nothing kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from flashtalk_core.config.chunk import ChunkConfig
from flashtalk_core.engine.events import EventHandlers
from flashtalk_core.engine.session import run_session
from flashtalk_core.engine.state import FrameGroup, SessionState
from flashtalk_core.errors import InvalidInputError
from flashtalk_core.geometry import num_video_frames
from flashtalk_core.media.audio.info import AudioInfo
from flashtalk_core.media.audio.probe import AnalysisStream
from flashtalk_core.media.audio.source import AudioArray

pytestmark = pytest.mark.cpu

CHUNK = ChunkConfig(num_frames=13, num_motion_frames=5)


class Counter:
    """Draws frames whose pixels are their number, and remembers what it was asked for."""

    chunk = CHUNK
    fingerprint = "counter"

    def __init__(self):
        self.asked = []
        self.generated = 0
        self.ended = 0

    def generate(self, span, state):
        self.asked.append((span, state))
        after = SessionState(state.chunk_index + 1, None, state.fingerprint)
        for first in range(span.shown.start, span.shown.stop, 4):
            self.generated += 4
            numbers = torch.arange(first, first + 4, dtype=torch.uint8)
            frames = numbers[:, None, None, None].expand(-1, 32, 32, 3)
            yield FrameGroup(frames, after if first + 4 == span.shown.stop else None)
        self.ended += 1


def numbers(groups):
    return [int(frame[0, 0, 0]) for group in groups for frame in group]


@pytest.mark.parametrize("total", [1, 3, 4, 5, 7, 8, 9, 16, 23, 24, 100])
def test_every_frame_comes_once_and_in_order(total):
    assert numbers(run_session(Counter(), total)) == list(range(total))


def test_frames_behind_the_end_are_not_generated():
    source = Counter()
    list(run_session(source, 17))
    assert [span.index for span, _ in source.asked] == [0, 1, 2]
    assert source.generated == 20


def test_frames_leave_before_the_next_are_generated():
    source = Counter()
    session = run_session(source, 100)
    next(session)
    assert source.generated == 4


def test_each_state_continues_the_previous_one():
    source, states = Counter(), []
    list(run_session(source, 24, events=EventHandlers(state=states.append)))
    assert [state.chunk_index for _, state in source.asked] == [0, 1, 2]
    assert [state.chunk_index for state in states] == [1, 2, 3]
    assert {state.fingerprint for state in states} == {"counter"}


@pytest.mark.parametrize("total", [20, 23])
def test_a_chunk_that_is_cut_has_no_state(total):
    """Whether the cut leaves out a group of frames or a part of the last one."""
    states = []
    list(run_session(Counter(), total, events=EventHandlers(state=states.append)))
    assert [state.chunk_index for state in states] == [1, 2]


def test_a_chunk_has_ended_and_holds_no_network_when_its_state_is_reported():
    source, ended = Counter(), []
    events = EventHandlers(state=lambda _state: ended.append(source.ended))
    list(run_session(source, 24, events=events))
    assert ended == [1, 2, 3]


def test_a_state_continues_where_it_was_taken():
    states = []
    whole = numbers(run_session(Counter(), 30, events=EventHandlers(state=states.append)))
    rest = numbers(run_session(Counter(), 30, states[1]))
    assert rest == whole[16:]


def test_a_state_behind_the_end_draws_nothing():
    state = SessionState(chunk_index=4, fingerprint="counter")
    assert numbers(run_session(Counter(), 30, state)) == []


def test_a_state_of_other_settings_is_refused():
    with pytest.raises(InvalidInputError, match="other settings than counter") as caught:
        next(run_session(Counter(), 30, SessionState(1, None, "someone else's")))
    assert "start again" in str(caught.value)
    assert "\n" not in str(caught.value)


class Hearing(Counter):
    """Draws frames as bright as their audio and that of a while ahead."""

    def __init__(self, audio, ahead_samples):
        super().__init__()
        self.stream, self.ahead = AnalysisStream(audio), ahead_samples

    def generate(self, span, state):
        start, stop = span.shown.start * 640, span.shown.stop * 640
        window = self.stream.read(start, stop + self.ahead)
        levels = np.abs(window[: stop - start]).reshape(-1, 640).sum(axis=1) + window.sum()
        frames = torch.from_numpy(levels)[:, None, None, None].expand(-1, 2, 2, 3)
        after = SessionState(state.chunk_index + 1, None, state.fingerprint)
        for first in range(0, len(frames), 4):
            self.generated += 4
            yield FrameGroup(frames[first : first + 4], after if first + 4 == len(frames) else None)


RATES = [16_000, 44_100]


@pytest.mark.parametrize("ahead_samples", [0, 1, 5_000, 40_000])
@pytest.mark.parametrize("frames", [1, 4, 7, 8, 9, 16, 20.1, 24])
@pytest.mark.parametrize("rate_hz", RATES)
def test_growing_audio_gives_the_frames_of_the_finished_one(
    growing_audio, rate_hz, frames, ahead_samples
):
    num_samples = round(frames * rate_hz / 25)
    samples = np.random.default_rng(0).standard_normal((1, num_samples)).astype(np.float32)
    growing = AudioInfo.growing(growing_audio(samples, rate_hz, rate_hz // 50))
    finished = replace(
        growing, source=AudioArray("whole", samples, rate_hz), num_samples=num_samples
    )
    videos = [
        torch.cat(list(run_session(Hearing(audio, ahead_samples), audio)))
        for audio in (growing, finished)
    ]
    assert torch.equal(*videos)
    assert len(videos[0]) == num_video_frames(num_samples, rate_hz, 25)


@pytest.mark.parametrize("total", [8, 16, 12, 13])
def test_nothing_is_generated_behind_the_end_of_growing_audio(growing_audio, total):
    """Its end is known only when the next sample is waited for, which is before it is generated."""
    samples = np.ones((1, total * 640), np.float32)
    audio = AudioInfo.growing(growing_audio(samples, 16_000, 640))
    source = Hearing(audio, 0)
    assert sum(map(len, run_session(source, audio))) == total
    assert source.generated == -(-total // 4) * 4


def test_frames_leave_before_the_end_is_known(growing_audio):
    audio = AudioInfo.growing(growing_audio(np.ones((1, 64_000), np.float32), 16_000, 640))
    session = run_session(Hearing(audio, 640), audio)
    next(session)
    assert (audio.total_samples, audio.source.num_arrived) == (None, 9 * 640)
