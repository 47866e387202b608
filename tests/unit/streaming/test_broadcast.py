"""Viewers of a stream: who gets what, and that neither they nor their number cost memory."""

import threading

import pytest

from flashtalk_core.streaming.broadcast import Broadcast, TooManyViewersError

pytestmark = pytest.mark.cpu

HEAD = b"head"


def stream_of(count, key_every=3, size=1, **limits):
    """A stream with `count` fragments of `size` bytes, 100 ms each."""
    stream = Broadcast(**limits)
    stream.begin(HEAD)
    feed(stream, 0, count, key_every, size)
    return stream


def feed(stream, start, stop, key_every=3, size=1):
    for index in range(start, stop):
        stream.add(bytes([index % 256]) * size, index * 100, is_key=index % key_every == 0)


def read(stream, viewer):
    """Everything the viewer can take now; numbers of fragments after the head."""
    taken = []
    while data := stream.take(viewer):
        taken.append(HEAD if data == HEAD else data[0])
    return taken


def nothing():
    """For viewers that look for themselves."""


def test_a_first_viewer_gets_everything():
    stream = stream_of(0)
    viewer = stream.join(nothing)
    feed(stream, 0, 5)
    assert read(stream, viewer) == [HEAD, 0, 1, 2, 3, 4]


def test_a_late_viewer_starts_at_the_newest_key_piece():
    stream = stream_of(8)
    assert read(stream, stream.join(nothing)) == [HEAD, 6, 7]


@pytest.mark.parametrize(
    ("from_ms", "first"), [(0, 0), (299, 0), (300, 3), (599, 3), (10_000, 6), (-1, 0)]
)
def test_a_returning_viewer_starts_at_the_key_piece_before_its_time(from_ms, first):
    stream = stream_of(8)
    assert read(stream, stream.join(nothing, from_ms))[1] == first


def test_a_time_that_left_the_ring_starts_at_the_oldest_key_piece():
    stream = stream_of(20, size=10, ring_bytes=100)
    assert read(stream, stream.join(nothing, 0)) == [HEAD, *range(12, 20)]


def test_a_viewer_before_the_head_waits_for_it():
    stream = Broadcast()
    viewer = stream.join(nothing)
    assert stream.take(viewer) is None
    stream.begin(HEAD)
    assert stream.take(viewer) == HEAD
    assert stream.take(viewer) is None


def test_a_viewer_that_does_not_read_is_dropped_and_counted_and_others_go_on():
    stream = stream_of(0, ring_bytes=100)
    idle, busy = stream.join(nothing), stream.join(nothing)
    taken = []
    for index in range(50):
        feed(stream, index, index + 1, size=10)
        taken += read(stream, busy)
    assert (idle.is_dropped, busy.is_dropped) == (True, False)
    assert (stream.num_dropped, stream.num_viewers) == (1, 1)
    assert taken == [HEAD, *range(50)]
    assert stream.take(idle) is None


def test_bytes_are_bounded_whatever_viewers_do():
    stream = stream_of(0, ring_bytes=1000, max_viewers=5)
    for _ in range(5):
        stream.join(nothing)
    for index in range(300):
        feed(stream, index, index + 1, size=37)
        assert stream.num_bytes <= 1000
    assert stream.num_dropped == 5


def test_a_piece_larger_than_the_ring_is_kept_alone():
    stream = stream_of(2, key_every=1, size=500, ring_bytes=100)
    assert stream.num_bytes == 500
    assert read(stream, stream.join(nothing)) == [HEAD, 1]


def test_a_late_viewer_waits_where_the_ring_holds_no_key_piece():
    stream = stream_of(30, key_every=28, size=10, ring_bytes=10)
    viewer = stream.join(nothing)
    assert read(stream, viewer) == [HEAD]
    feed(stream, 56, 58, key_every=28)
    assert read(stream, viewer) == [56, 57]


def test_viewers_are_capped_and_make_room_when_they_leave():
    stream = stream_of(1, max_viewers=2)
    first, _ = stream.join(nothing), stream.join(nothing)
    with pytest.raises(TooManyViewersError):
        stream.join(nothing)
    stream.leave(first)
    stream.leave(first)  # twice, as when a browser goes while the stream ends
    stream.join(nothing)
    assert (stream.num_viewers, stream.num_dropped) == (2, 0)


def test_the_end_comes_after_what_is_left():
    stream = stream_of(2)
    viewer = stream.join(nothing)
    stream.close()
    feed(stream, 2, 3)
    assert read(stream, viewer) == [HEAD, 0, 1]
    assert stream.take(viewer) == b""


def test_each_piece_and_the_end_wake_the_viewers():
    stream = stream_of(0)
    woken = []
    viewer = stream.join(lambda: woken.append(len(woken)))
    feed(stream, 0, 2)
    stream.close()
    assert len(woken) == 3
    stream.leave(viewer)


def test_a_thread_that_publishes_loses_nothing():
    stream = stream_of(0)
    ready = threading.Event()
    viewer = stream.join(ready.set)
    thread = threading.Thread(target=lambda: (feed(stream, 0, 2000), stream.close()))
    thread.start()
    taken = []
    while (data := stream.take(viewer)) != b"":
        if data is None:
            assert ready.wait(10)
            ready.clear()
        else:
            taken.append(data[0])
    thread.join()
    assert taken == [HEAD[0], *(index % 256 for index in range(2000))]


class Clock:
    """A clock that is set by hand, in seconds."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_a_viewer_that_reads_nothing_makes_room_for_the_next():
    clock, woken = Clock(), []
    stream = stream_of(1, max_viewers=2, clock_s=clock)
    idle, busy = stream.join(lambda: woken.append("idle")), stream.join(nothing)
    clock.now_s += 10
    assert read(stream, busy)
    third = stream.join(nothing)
    assert (idle.is_dropped, busy.is_dropped, woken) == (True, False, ["idle"])
    assert (stream.num_viewers, stream.num_dropped) == (2, 1)
    assert read(stream, third) == [HEAD, 0]
    with pytest.raises(TooManyViewersError):
        stream.join(nothing)  # both watch


def test_the_longest_idle_viewer_is_replaced():
    clock = Clock()
    stream = stream_of(1, max_viewers=3, clock_s=clock)
    viewers = [stream.join(nothing) for _ in range(3)]
    for viewer in (viewers[1], viewers[0], viewers[2]):
        clock.now_s += 1
        read(stream, viewer)
    clock.now_s += 10
    stream.join(nothing)
    assert [viewer.is_dropped for viewer in viewers] == [False, True, False]


def test_a_viewer_that_cannot_be_woken_stops_neither_the_stream_nor_its_end():
    def fail():
        raise OSError("its window is gone")

    stream = stream_of(0)
    stream.join(fail)
    other = stream.join(nothing)
    feed(stream, 0, 2)
    stream.join(fail)
    stream.close()
    assert (stream.num_viewers, stream.num_dropped) == (1, 2)
    assert read(stream, other) == [HEAD, 0, 1]


def test_joining_does_not_walk_through_the_stream():
    """Whoever publishes waits for it."""
    stream = stream_of(3000, key_every=1)
    looked_at = 0

    class Fragments(dict):
        def items(self):
            nonlocal looked_at
            looked_at += len(self)
            return super().items()

        def __getitem__(self, number):
            nonlocal looked_at
            looked_at += 1
            return super().__getitem__(number)

    stream._fragments = Fragments(stream._fragments)
    viewer = stream.join(nothing, 150_000)
    assert looked_at == 0
    assert stream.take(viewer) == HEAD
    assert stream.take(viewer) == bytes([1500 % 256])
