"""Events find their place among the frames, whichever of them comes first."""

import pytest
from flashtalk_client.items import HEAD, MAGIC, Frame
from flashtalk_client.order import Order


def frame(number):
    return Frame(number, 1, 1, "rgb", b"xyz", b"", 1, is_held=False, is_speech=False)


def names(found):
    return [one.number if isinstance(one, Frame) else one["type"] for one in found]


def test_an_event_that_comes_early_waits_for_its_frame():
    order = Order(has_frames=True)
    assert names(order.before(2, {"type": "speaking"})) == []
    assert names(order.after(3, {"type": "played"})) == []
    seen = [names(order.frame(frame(number))) for number in range(5)]
    assert seen == [[0], [1, "speaking"], [2], [3, "played"], [4]]


def test_an_event_that_comes_late_is_told_at_once():
    order = Order(has_frames=True)
    list(order.frame(frame(7)))
    assert names(order.before(7, {"type": "speaking"})) == ["speaking"]
    assert names(order.after(7, {"type": "played"})) == ["played"]


def test_frames_that_are_missing_hold_nothing_back():
    order = Order(has_frames=True)
    list(order.frame(frame(0)))
    list(order.after(3, {"type": "played"}))
    assert names(order.frame(frame(9))) == ["played", 9]


def test_without_frames_nothing_waits():
    assert names(Order(has_frames=False).after(3, {"type": "played"})) == ["played"]


def test_what_is_no_frame_is_an_error():
    good = HEAD.pack(MAGIC, 5, 1, 1, 3, 1, 0, 3, 2) + b"rgb" + b"\1\0\2\0"
    found = Frame.parse(good, "rgb")
    assert (found.number, found.rgb(), found.sound) == (5, b"rgb", b"\1\0\2\0")
    assert found.is_held
    assert found.is_speech
    for bad in (b"", good[:-1], good + b"x", b"FTF2" + good[4:]):
        with pytest.raises(ValueError, match="frame"):
            Frame.parse(bad, "rgb")
