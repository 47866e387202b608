"""Clients of which nobody knows yet whether they may use the server."""

import asyncio
import base64
import json
from contextlib import suppress

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from flashtalk_core.serve import talker  # noqa: E402
from flashtalk_core.serve.limits import (  # noqa: E402
    HEARD_BYTES,
    MAX_GUEST_BYTES,
    MAX_GUESTS,
)
from flashtalk_core.serve.omnirt import PATH  # noqa: E402
from tests.unit.serve.lamp import make_hub, next_of, serving  # noqa: E402

pytestmark = pytest.mark.cpu

KNOWN = {"Authorization": "Bearer secret"}


def running(test, **access):
    """Run a test on a loop of its own, with a server."""

    async def run():
        hub = make_hub(0.01)
        async with serving(hub, **access) as (address, client), asyncio.timeout(30):
            await test(address, client)

    asyncio.run(run())


def test_the_token_is_looked_at_before_anything_else_of_the_first_message():
    async def test(address, client):
        for fields in ({"portrait": "?"}, {"portrait": "?", "token": 5}, {"rate": 1, "token": "x"}):
            socket = await client.ws_connect(f"{address}/live")
            await socket.send_json({"type": "start"} | fields)
            assert (await next_of(socket, "error"))["code"] == "token"
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start", "portrait": "?", "token": "secret"})
        told = await next_of(socket, "error")
        assert (told["code"], "no Base64" in told["message"]) == ("input", True)

    running(test, token="secret")


def test_a_long_first_message_is_not_read_before_its_client_is_known():
    portrait = base64.b64encode(bytes(HEARD_BYTES)).decode()

    def start(num_bytes):
        fields = {"type": "start", "token": "secret", "portrait": ""}
        fields["portrait"] = portrait[: num_bytes - len(json.dumps(fields))]
        return json.dumps(fields)

    async def test(address, client):
        live = f"{address}/live"
        async with client.ws_connect(live) as socket:
            await socket.send_str(start(MAX_GUEST_BYTES))  # is read
            assert " portrait" in (await next_of(socket, "error"))["message"]
        for size in (MAX_GUEST_BYTES + 1, HEARD_BYTES):
            async with client.ws_connect(live) as socket:
                await socket.send_str(start(size))
                told = (await next_of(socket, "error"))["message"]
                assert told.startswith(f"first message of {size:,} bytes: at most 65,536")
                assert "send the token in the headers" in told
        async with client.ws_connect(live) as socket:
            with suppress(ConnectionError):  # it may end before all is sent
                await socket.send_str(start(HEARD_BYTES + 1))
            received = await socket.receive(10)
            assert received.type is not aiohttp.WSMsgType.TEXT
            assert socket.closed
        async with client.ws_connect(live, headers=KNOWN) as socket:
            await socket.send_str(start(HEARD_BYTES + 1))
            assert " portrait" in (await next_of(socket, "error"))["message"]

    running(test, token="secret")


def test_only_so_many_may_wait_with_their_token():
    async def test(address, client):
        sockets = [await client.ws_connect(f"{address}/live") for _ in range(MAX_GUESTS)]
        answer = await client.get(f"{address}/live")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert f"{MAX_GUESTS} clients have yet to send" in (await answer.json())["message"]
        known = await client.ws_connect(f"{address}/live", headers=KNOWN)
        await known.send_json({"type": "start"})
        await next_of(known, "ready")
        await sockets[0].send_json({"type": "start", "token": "secret"})
        await next_of(sockets[0], "ready")  # and is a guest no more
        await sockets[1].close()
        async with asyncio.timeout(5):
            while (await client.get(f"{address}/live")).status == 503:
                await asyncio.sleep(0.02)
        for socket in [known, *sockets]:
            await socket.close()

    running(test, token="secret")


def test_a_guest_has_only_so_long(monkeypatch):
    monkeypatch.setattr(talker, "START_TIMEOUT_S", 0.2)

    async def test(address, client):
        for _ in range(2):
            sockets = [await client.ws_connect(f"{address}/live") for _ in range(MAX_GUESTS)]
            for socket in sockets:
                assert "no first message in 0.2 s" in (await next_of(socket, "error"))["message"]
                await socket.close()

    running(test, token="secret")


def test_nobody_may_compress():
    async def test(address, client):
        for path in ("/live", PATH):
            socket = await client.ws_connect(address + path, compress=15)
            assert not socket.compress
            await socket.close()

    running(test)
