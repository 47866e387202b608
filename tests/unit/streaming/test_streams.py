"""Streams by id: capped, freed, and not to be guessed."""

import gc
import weakref

import pytest

from flashtalk_core.streaming.pacing import measure_pace
from flashtalk_core.streaming.streams import StreamSessions

pytestmark = pytest.mark.cpu


def test_a_stream_is_found_while_it_lasts():
    sessions = StreamSessions()
    session, stream = sessions.open()
    assert sessions.find(session) is stream
    sessions.close(session)
    sessions.close(session)
    assert sessions.find(session) is None


def test_ids_are_long_and_never_the_same():
    sessions = StreamSessions()
    ids = [sessions.open()[0] for _ in range(100)]
    assert len(set(ids)) == 100
    assert min(map(len, ids)) >= 32


def test_a_thousand_streams_without_viewers_cost_no_memory():
    sessions = StreamSessions(max_sessions=3)
    streams = []
    for _ in range(1000):
        _, stream = sessions.open()
        stream.begin(b"head")
        stream.add(bytes(1000), 0, is_key=True)
        stream.join(lambda: None)
        streams.append(weakref.ref(stream))
        del stream
    gc.collect()
    assert len(sessions) == 3
    assert sum(stream() is not None for stream in streams) == 3


def test_the_oldest_stream_ends_when_there_are_too_many():
    sessions = StreamSessions(max_sessions=1)
    _, old = sessions.open()
    viewer = old.join(lambda: None)
    sessions.open()
    assert old.take(viewer) == b""


def test_pace_is_frames_over_time():
    assert measure_pace(56, 4.48) == pytest.approx(12.5)
