"""Messages between processes: whole, checked, and nothing else."""

import json
import socket
import struct

import pytest

from flashtalk_core.errors import FlashTalkError
from flashtalk_core.runtime.channel import Channel, ChannelClosed, make_pair
from flashtalk_core.runtime.messages import (
    Array,
    Exit,
    Fault,
    Finished,
    GenerateChunk,
    Ready,
    decode,
    encode,
)

pytestmark = pytest.mark.cpu

MESSAGES = [
    GenerateChunk(
        command=3,
        session=2,
        index=0,
        first_frame=-28,
        first_sample=-56_960,
        motion=Array(dtype="float32", shape=(1, 3, 5, 32, 32)),
        keep_state=False,
    ),
    Ready(rank=1, pid=7, device="H200", free_bytes=1 << 40, total_bytes=None, versions=("a 1",)),
    Fault(
        command=1, rank=0, kind="memory", error="E", message="m \N{SNOWMAN}", subject=None, phase=""
    ),
    Exit(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message):
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 1}, "message of version 1: this FlashTalk uses 2"),
        ({"version": True}, "message of version True"),
        ({"kind": "Run"}, "message 'Run': no such kind"),
        ({"kind": ["Exit"]}, "no such kind"),
        ({"more": 1}, "message of version"),
        ({"body": {"command": 1, "rank": 0, "extra": 1}}, "message Finished: extra: no such key"),
        ({"body": {"command": 1}}, "message Finished: rank: missing"),
        ({"body": {"command": "1", "rank": 0}}, "message Finished: command '1': use a whole"),
        ({"body": []}, "use an object in braces"),
    ],
)
def test_what_is_not_known_is_refused(change, says):
    known = json.loads(encode(Finished(command=1, rank=0)))
    with pytest.raises(FlashTalkError) as caught:
        decode(json.dumps(known | change).encode())
    assert says in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"5", b"\xff", b"{}"])
def test_what_is_no_message_is_refused(text):
    with pytest.raises(FlashTalkError, match="none of this program"):
        decode(text)


def test_blobs_follow_a_message_whole():
    ours, theirs = make_pair(5)
    other = Channel(theirs)
    blobs = [b"", bytes(range(256)) * 100, memoryview(bytearray(8)).cast("d")]
    ours.send(MESSAGES[0], blobs)
    assert other.receive() == (MESSAGES[0], [bytearray(blob) for blob in blobs])
    other.send(Exit())
    assert ours.receive() == (Exit(), [])
    ours.close()
    other.close()


def test_the_end_of_the_other_side_is_noticed_within_a_message_too():
    ours, theirs = make_pair(5)
    theirs.sendall(struct.pack("<4sII", b"FTK1", 100, 0) + b"{")
    theirs.close()
    with pytest.raises(ChannelClosed, match="closed"):
        ours.receive()
    with pytest.raises(ChannelClosed):
        ours.send(Exit(), [bytes(1 << 20)])
    ours.close()


def test_a_side_that_stops_within_a_message_is_not_waited_for_longer_than_agreed():
    ours, theirs = make_pair(0.05)
    theirs.sendall(b"FTK1")
    with pytest.raises(TimeoutError):
        ours.receive()
    with pytest.raises(TimeoutError):
        ours.send(Exit(), [bytes(1 << 22)])
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "head",
    [(b"HTTP", 10, 0), (b"FTK1", 1 << 30, 0), (b"FTK1", 10, 100)],
    ids=["foreign", "long", "many blobs"],
)
def test_what_is_no_frame_is_refused_before_anything_is_allocated(head):
    ours, theirs = make_pair(5)
    theirs.sendall(struct.pack("<4sII", *head))
    with pytest.raises(ChannelClosed, match="no message"):
        ours.receive()
    ours.close()
    theirs.close()


def test_a_blob_has_a_largest_size():
    ours, theirs = make_pair(5)
    theirs.sendall(struct.pack("<4sIIQ", b"FTK1", 2, 1, 1 << 40))
    with pytest.raises(ChannelClosed, match="too large"):
        ours.receive()
    assert isinstance(theirs, socket.socket)
    ours.close()
    theirs.close()
