"""What ``serve`` refuses, before it reads any weights."""

import shlex
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flashtalk_core.cli.main import main

pytest.importorskip("aiohttp", reason="the command needs it")
pytestmark = pytest.mark.cpu


@pytest.fixture
def taken_port():
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    yield server.server_address[1]
    server.server_close()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--port {port}", "the server cannot listen there"),
        ("--host 0.0.0.0", "set --token"),
        ("--host '' --token x", "--host: empty; use 0.0.0.0 for all addresses"),
        ("--token 'x '", "--token: it begins or ends with a space"),
        ("--allow-origin a.example", "no page has such an origin"),
        ("--idle-limit 0", "idle limit 0 s: use more than 0"),
        ("--sessions 0", "sessions 0: use 1 to 1000"),
        ("--chunk-frames 10", "chunk of 10 frames: use 4n + 1"),
        ("--look-ahead 99", "look-ahead 99"),
        ("--ice-server stun:a.example:stun", "with a name or an IPv4 address and a port of 1 to"),
        ("--record {file}", "cannot be made (File exists)"),
        pytest.param(
            "--record /proc",
            "cannot be written",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a folder of Linux"),
        ),
        ("--vad", '"silero-vad>=6,<7"`, or go by level alone'),
    ],
)
def test_it_says_what_cannot_be(line, message, taken_port, monkeypatch, capsys):
    def open_engine(*_given):
        pytest.fail("weights were read")

    monkeypatch.setattr("flashtalk_core.cli.serve.open_engine", open_engine)
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    monkeypatch.delenv("FLASHTALK_TOKEN", raising=False)
    given = shlex.split(line.format(port=taken_port, file=__file__))
    assert main(["serve", "--port", "0", "--size", "32x32", *given]) == 2
    assert message in capsys.readouterr().err
