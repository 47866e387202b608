"""`serve` as a user starts and stops it: the tiny model, small, in a process of its own."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
LISTENS = r"(http://\S+): a chunk takes"
LIMIT_S = 120


class Server:
    """The process, and what it has said."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.lines += iter(self.process.stderr.readline, "")

    @property
    def said(self):
        return "".join(self.lines)

    def until(self, pattern):
        """Wait until it has said something."""
        end_s = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end_s, self.said
            time.sleep(0.02)
        return found

    def stop(self, number=signal.SIGINT):
        """Stop it as Ctrl-C does; return the exit code, and the seconds that it took."""
        start_s = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join()
        return code, time.monotonic() - start_s


@contextmanager
def serving(*options):
    command = [sys.executable, "-m", "flashtalk_core", "serve", "--size", "32x32", "--steps", "1"]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--allow-slow", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Server(process)
        finally:
            process.kill()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_port_that_is_taken_while_weights_are_read_is_told():
    port = free_port()
    with serving("--port", str(port)) as server:
        server.until("drawing the idle frames")
        with socket.create_server(("127.0.0.1", port)):
            assert server.process.wait(LIMIT_S) == 2
    assert f"--port {port}: the server cannot listen there" in server.said
    assert "Traceback" not in server.said


def test_it_tells_its_port_and_ctrl_c_ends_speech_posts_guests_and_recordings(tmp_path):
    async def use(address, stop):
        async with aiohttp.ClientSession() as client:
            socket = await client.ws_connect(f"{address}/live")
            await socket.send_json({"type": "start"})
            session = (await socket.receive_json())["session"]
            post = asyncio.create_task(
                client.post(f"{address}/sessions/{session}/say", data=slow())
            )
            guest = await client.ws_connect(f"{address}/live")
            omnirt = await client.ws_connect(f"{address}/v1/audio2video/flashtalk")
            await omnirt.send_json({"type": "init"})
            assert (await omnirt.receive_json())["type"] == "init_ok"
            assert (await socket.receive_json(timeout=30))["type"] == "speaking"
            code, took_s = await asyncio.to_thread(stop)
            told = [one.json()["type"] async for one in socket]
            assert told[-2:] == ["played", "closed"], told
            assert told.count("played") == 1, told
            await asyncio.gather(post, guest.close(), return_exceptions=True)
            return code, took_s

    async def slow():
        for _ in range(LIMIT_S):
            yield b"\xff\x3f" * 8_000
            await asyncio.sleep(0.5)

    with serving("--port", "0", "--record", str(tmp_path)) as server:
        address = server.until(LISTENS)[1]
        assert not address.endswith(":0")
        code, took_s = asyncio.run(use(address, server.stop))
    assert code == 0, server.said
    assert took_s < 15
    assert "Traceback" not in server.said
    (recording,) = tmp_path.iterdir()
    with av.open(str(recording)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5  # idle, and the first of speech


def test_a_second_ctrl_c_ends_it_at_once_and_says_so():
    with serving("--port", "0") as server:
        server.until(LISTENS)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        code, took_s = server.stop()
    assert (code, took_s < 15) in ((130, True), (0, True)), server.said  # it may have ended by then
    assert "Traceback" not in server.said
