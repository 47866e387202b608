"""Inputs that readers once failed at, as the fuzzers found them, and cases of the same kind."""

import json
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest

from flashtalk_core.errors import FlashTalkError, InvalidInputError
from flashtalk_core.runtime.channel import Channel, ChannelClosed
from flashtalk_training.evaluation.lips import read_track

from .readers import ALL
from .trial import Trial, limited

pytestmark = pytest.mark.cpu

FOUND = sorted(path for path in Path(__file__).with_name("found").rglob("*") if path.is_file())
READERS = {reader.slug: reader for reader in ALL}
DEEP = b"[" * 9000 + b"]" * 9000


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_is_read_or_refused(tmp_path, path):
    reader = READERS[path.parent.name]
    read, names_files = reader.opened(tmp_path), reader.names_files
    trial = Trial(reader.name, read, reader.refusals, tmp_path, names_files=names_files)
    with limited(reader.memory_bytes):
        trial.take(path.read_bytes())
    assert not trial.count.uncaught, str(trial.count)


@pytest.mark.parametrize(
    "content",
    [
        DEEP,
        b'{"mouth": ' + DEEP + b"}",
        json.dumps({"mouth": [[10**400]]}).encode(),
        b'{"mouth": [[NaN]]}',
        b'{"mouth": [[1e999]]}',
        b'{"mouth": [["nan"]]}',
        b'{"mouth": [[[1, 2]]]}',
        b'{"mouth": [[]]}',
        b'{"mouth": 5}',
        b"\xff\xfe",
        b'{"mouth": [], "mouth": []}',
    ],
    ids=lambda content: repr(content[:24]),
)
def test_a_track_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "track.json").write_bytes(content)
    with pytest.raises(InvalidInputError, match="no mouth track"):
        read_track(tmp_path / "track.json")


@pytest.mark.parametrize(("size", "count"), [(1 << 24, 0), (2, 16)])
def test_a_length_alone_takes_no_memory(size, count):
    """A frame may promise 16 blobs of 2 GiB; what was not sent is not made room for."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        head = struct.pack("<4sII", b"FTK1", size, count) + struct.pack("<Q", 1 << 31) * count
        theirs.sendall(head + b"{}")
        theirs.shutdown(socket.SHUT_WR)
        tracemalloc.start()
        try:
            with pytest.raises((ChannelClosed, FlashTalkError)):
                Channel(ours).receive()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 20 * 2**20


def test_a_large_blob_arrives_whole(tmp_path):
    """Larger than what is made room for at once."""
    from threading import Thread

    from flashtalk_core.runtime.messages import Exit

    sent = bytes(range(256)) * (1 << 16) + b"end" * (1 << 20)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = Thread(target=Channel(theirs).send, args=(Exit(), [sent]))
        thread.start()
        message, blobs = Channel(ours).receive()
        thread.join()
    assert isinstance(message, Exit)
    assert blobs == [sent]
