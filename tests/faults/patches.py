"""Damage from inside a process: what no signal and no file can do."""

import ctypes
import errno
import os
import signal
import time


def drop_privileges():
    """Let permissions bind root as well."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError("capset")


def on_chunk(number, change):
    """Call ``change`` with what the transformer returns for a chunk, counted from 1."""
    from torch.nn.modules.module import register_module_forward_hook

    seen = []

    def hook(module, _inputs, output):
        if type(module).__name__ != "AvatarDiT":
            return None
        seen.append(None)
        return change(output) if len(seen) == number else None

    register_module_forward_hook(hook)


def value_in_chunk(number, value):
    """Let the transformer return one value that is none, as an overflow does."""

    def change(output):
        output = output.clone()
        output.view(-1)[-7] = float(value)  # of a frame that is new
        return output

    on_chunk(number, change)


def error_in_chunk(number, kind):
    """Let the transformer fail as PyTorch does."""
    import torch

    said = {
        "MemoryError": MemoryError(),
        "RuntimeError": RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
        "OutOfMemoryError": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    }

    def change(_output):
        raise said[kind]

    on_chunk(number, change)


def signal_in_chunk(number, name):
    """Let the process get a signal while a chunk is rendered."""
    on_chunk(number, lambda _output: os.kill(os.getpid(), getattr(signal, name)))


def encoder_error(track, number):
    """Let FFmpeg fail at a packet of the video or the audio."""
    from av.error import ExternalError

    from flashtalk_core.media.video.audio_track import AudioTrack
    from flashtalk_core.media.video.video_track import VideoTrack

    owner, name = {"video": (VideoTrack, "packets"), "audio": (AudioTrack, "packets_until")}[track]
    real, seen = getattr(owner, name), []

    def packets(self, *arguments):
        seen.append(None)
        if len(seen) == number:
            raise ExternalError(542398533, "Generic error in an external library", "libx264")
        return real(self, *arguments)

    setattr(owner, name, packets)


def at_call(function, number, action):
    """Call ``action`` before a function of ``os`` is called for the n-th time by the writer."""
    real, seen = getattr(os, function), []

    def call(*arguments, **options):
        seen.append(None)
        if len(seen) == number:
            action()
        return real(*arguments, **options)

    setattr(os, function, call)


def kill_at(function, number):
    """Kill the process just before a system call."""
    at_call(function, number, lambda: os.kill(os.getpid(), signal.SIGKILL))


def signal_at(function, number, name):
    """Let the process get a signal just before a system call."""
    at_call(function, number, lambda: os.kill(os.getpid(), getattr(signal, name)))


def fail_at(function, number, code):
    """Let one system call fail."""

    def fail():
        value = getattr(errno, code)
        raise OSError(value, os.strerror(value))

    at_call(function, number, fail)


def set_clock_back(days, after_s):
    """Let the clock jump back in mid-run."""
    real, start = time.time, time.time()

    def now():
        value = real()
        return value - 86_400 * days if value > start + after_s else value

    time.time = now


def watch_without_reading(num_viewers):
    """Let viewers join the live stream of the render who never take anything."""
    from flashtalk_core.jobs import job as module
    from flashtalk_core.media.isobmff.live import LiveMp4
    from flashtalk_core.streaming.broadcast import Broadcast

    real = module.open_writer
    stream = Broadcast(ring_bytes=20_000)
    for _ in range(num_viewers):
        stream.join(lambda: None)

    def open_writer(*arguments, **options):
        return real(*arguments, **options | {"sinks": [LiveMp4(stream)]})

    module.open_writer = open_writer


PATCHES = {
    each.__name__: each
    for each in (
        value_in_chunk, error_in_chunk, signal_in_chunk, encoder_error, kill_at, signal_at, fail_at,
        set_clock_back, watch_without_reading,
    )
}  # fmt: skip
