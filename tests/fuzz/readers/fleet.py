"""What processes of a fleet send each other: frames of a channel, and jobs."""

import json
import socket
from dataclasses import fields
from functools import cache

import torch

from flashtalk_core.engine.resolve import LocalHost, resolve
from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
from flashtalk_core.errors import FlashTalkError
from flashtalk_core.runtime import messages
from flashtalk_core.runtime.channel import Channel, ChannelClosed
from flashtalk_core.runtime.job import pack_plan, read_job, unpack_plan
from flashtalk_core.weights.discovery.layout import resolve_model

from ..mutate import changed_json, mutated
from ..reader import MIB, Reader

EXAMPLE = resolve_model("tiny").parent / "example"


def _message(kind):
    """Return a message of a kind with some value in each field."""
    by_hint = {
        "int": 1,
        "str": "a",
        "bool": True,
        "int | None": 7,
        "str | None": None,
        "Array | None": messages.Array(dtype="float32", shape=(1, 3)),
        "tuple[str, ...]": ("a", "b"),
        "tuple[int, ...]": (1, 2),
        "FaultKind": "memory",
    }
    return kind(**{each.name: by_hint[each.type] for each in fields(kind)})  # fmt: skip


def _frames(folder):
    found = []
    for kind in messages.Message.__args__:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            Channel(ours).send(_message(kind), [b"abc", bytes(12)])
            found.append(theirs.recv(1 << 16))
    return found


def _changed_frame(rng, seeds):
    frame = rng.choice(seeds)
    head, size = 12, int.from_bytes(frame[4:8], "little")
    start = head + 8 * int.from_bytes(frame[8:12], "little")
    if rng.random() < 0.4 or start + size > len(frame):
        return mutated(rng, [frame, *seeds])
    text = changed_json(rng, [frame[start : start + size]])
    length = len(text).to_bytes(4, "little")
    return frame[:4] + length + frame[8:start] + text + frame[start + size :]


def _open_channel(folder):
    def read(case):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(1.0)
            theirs.sendall(case[: 1 << 16])
            theirs.shutdown(socket.SHUT_WR)
            message, _ = Channel(ours).receive()
            messages.decode(messages.encode(message))

    return read


@cache
def _packed():
    spec = RenderSpec(
        portrait=str(EXAMPLE / "portrait.png"),
        speakers=(Speaker(audio=str(EXAMPLE / "speech.wav")),),
        duration_s=0.2,
        size_px=(32, 32),
        placement=PlacementSpec(device="cpu"),
    )
    text, blobs = pack_plan(resolve(spec, LocalHost()))
    return text, [bytes(memoryview(blob).cast("B")) for blob in blobs]


def _jobs(folder):
    return [json.dumps(json.loads(_packed()[0])).encode()]


def _open_job(folder):
    blobs = _packed()[1]

    def read(case):
        job = read_job(case.decode("utf-8", "replace"))
        unpack_plan(job, [bytearray(blob) for blob in blobs], torch.device("cpu"))

    return read


READERS = (
    Reader("messages of a fleet", _frames, _open_channel, _changed_frame, 5_000, 256 * MIB,
           (FlashTalkError, ChannelClosed)),
    Reader("jobs of a fleet", _jobs, _open_job, changed_json, 1_500, names_files=True),
)  # fmt: skip
