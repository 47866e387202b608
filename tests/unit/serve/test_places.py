"""Places of the server: who holds one, and when it is given back."""

import asyncio
from threading import Event

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from tests.unit.serve.lamp import make_hub, serving  # noqa: E402

pytestmark = pytest.mark.cpu


def running(test, hub, **access):
    """Run a test on a loop of its own, with a server."""

    async def run():
        async with serving(hub, **access) as (address, client), asyncio.timeout(30):
            await test(address, client)

    asyncio.run(run())


async def until(is_so, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.02)


def test_a_client_that_leaves_before_ready_keeps_its_place_no_longer_than_one_that_left(
    monkeypatch,
):
    hub = make_hub(0.01, reconnect_s=0.3, sessions=1)
    is_waited_for, may_go_on = Event(), Event()
    find = hub.avatars.find

    def slow(plan, policy):
        is_waited_for.set()
        may_go_on.wait(5)
        return find(plan, policy)

    async def test(address, client):
        monkeypatch.setattr(hub.avatars, "find", slow)
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        await until(is_waited_for.is_set)
        socket._response.connection.transport.abort()
        await asyncio.sleep(0.1)
        may_go_on.set()
        await until(lambda: hub.counts.sessions == 1)
        await until(lambda: not hub.stats()["open_sessions"])
        answer = await client.post(f"{address}/sessions")
        assert answer.status == 201

    running(test, hub)


def test_each_of_sessions_that_begin_together_has_a_recording_of_its_own(tmp_path):
    hub = make_hub(0.01, record=tmp_path, sessions=6)

    async def test(address, client):
        posts = (client.post(f"{address}/sessions") for _ in range(6))
        assert [one.status for one in await asyncio.gather(*posts)] == [201] * 6

    running(test, hub)
    recorded = [path.name for path in tmp_path.iterdir()]
    assert sorted(name[-8:-4] for name in recorded) == [f"{number:04d}" for number in range(1, 7)]
    assert all(path.stat().st_size for path in tmp_path.iterdir())
