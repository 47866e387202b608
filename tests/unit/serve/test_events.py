"""What a client is told, when its session ends or its connection breaks."""

import asyncio
import json
from types import SimpleNamespace

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the server needs aiohttp")
from flashtalk_core.serve.access import Access, Guests  # noqa: E402
from flashtalk_core.serve.talker import Talker  # noqa: E402
from tests.unit.serve.lamp import make_hub, next_of, serving, speech  # noqa: E402

pytestmark = pytest.mark.cpu


def running(test, hub, **access):
    """Run a test on a loop of its own, with a server."""

    async def run():
        async with serving(hub, **access) as (address, client), asyncio.timeout(30):
            await test(address, client)

    asyncio.run(run())


async def close(hub, socket):
    await socket.send_json({"type": "close"})


async def wait(hub, socket):
    """Reach a limit."""


async def stop(hub, socket):
    await asyncio.to_thread(hub.stop)


async def fail(hub, socket):
    (session,) = hub._sessions.values()

    def show(shown, now_s):
        raise RuntimeError("out of luck")

    session.show = show


@pytest.mark.parametrize(
    ("act", "limits", "reason"),
    [
        (close, {}, "closed"),
        (wait, {"session_s": 2.0}, "limit"),
        (stop, {}, "server"),
        (fail, {}, "error"),
    ],
)
def test_each_utterance_is_reported_once_however_its_session_ends(act, limits, reason):
    hub = make_hub(0.05, **limits)

    async def test(address, client):
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        await next_of(socket, "ready")
        for frames in (200, 50):  # one that plays, one that waits
            await socket.send_bytes(speech(frames))
            await socket.send_json({"type": "end"})
        await next_of(socket, "speaking")
        await asyncio.sleep(0.2)
        await act(hub, socket)
        told = []
        while not told or told[-1]["type"] != "closed":
            told.append(await next_of(socket, "played", "closed"))
        assert told.pop()["reason"] == reason
        assert [(one["utterance"], one["interrupted"]) for one in told] == [(1, True), (2, True)]
        assert 0 < told[0]["seconds"] < 4
        assert told[1]["seconds"] == 0
        await socket.close()

    running(test, hub)


class Line:
    """A socket whose client sends ``start``, and takes some messages before it is gone."""

    def __init__(self, start, num_taken):
        self.start, self.num_taken, self.told = start, num_taken, []
        self.is_full = asyncio.Event()

    async def receive(self, _timeout):
        return SimpleNamespace(type=aiohttp.WSMsgType.TEXT, data=json.dumps(self.start))

    async def send_str(self, text):
        if len(self.told) == self.num_taken:
            raise ConnectionResetError
        self.told.append(json.loads(text))
        if len(self.told) == self.num_taken:
            self.is_full.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.Event().wait()

    async def close(self, **_how):
        """Do nothing: it is gone."""


def test_events_that_did_not_reach_a_client_reach_the_next_one():
    hub = make_hub(0.05)

    async def test(address, client):
        ready = await (await client.post(f"{address}/sessions")).json()
        session = hub.find(ready["session"])
        await client.post(f"{address}/sessions/{session.id}/say", data=speech(5))
        while len(session._events) < 3:
            await asyncio.sleep(0.02)
        start = {"type": "start", "session": session.id}
        guests, headers = Guests(Access(host="127.0.0.1")), {"Host": "127.0.0.1"}
        first, second = Line(start, 2), Line(start, 3)
        await Talker(hub, guests.admit(headers), first).run(headers)
        talking = asyncio.create_task(Talker(hub, guests.admit(headers), second).run(headers))
        await second.is_full.wait()
        await asyncio.to_thread(hub.close, session, "closed")
        await talking
        kinds = [one["type"] for one in first.told + second.told]
        assert kinds == ["ready", "speaking", "ready", "played", "idle"]

    running(test, hub)


def test_what_a_client_was_saying_is_over_where_another_takes_its_place():
    hub = make_hub(0.05)

    async def test(address, client):
        first = await client.ws_connect(f"{address}/live")
        await first.send_json({"type": "start"})
        session = (await next_of(first, "ready"))["session"]
        await first.send_bytes(speech(20))  # and no end
        await next_of(first, "speaking")
        second = await client.ws_connect(f"{address}/live")
        await second.send_json({"type": "start", "session": session})
        assert (await next_of(second, "ready"))["utterance"] == 1
        await second.send_bytes(speech(5))
        await second.send_json({"type": "end"})
        for number, seconds in ((1, 0.8), (2, 0.2)):
            played = await next_of(second, "played")
            assert (played["utterance"], played["seconds"]) == (number, seconds)
            assert not played["interrupted"]
        await first.close()
        await second.close()

    running(test, hub)


async def slowly(frames, pieces):
    for _ in range(pieces):
        yield speech(frames)
        await asyncio.sleep(0.05)


def test_utterances_that_are_posted_together_are_all_spoken_whole():
    hub = make_hub(0.05)

    async def test(address, client):
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        url = f"{address}/sessions/{(await next_of(socket, 'ready'))['session']}/say"
        answers = await asyncio.gather(*(client.post(url, data=slowly(2, 5)) for _ in range(3)))
        told = [await answer.json() for answer in answers]
        assert sorted(one["utterance"] for one in told) == [1, 2, 3]
        assert [one["seconds"] for one in told] == [0.4] * 3
        for number in (1, 2, 3):
            played = await next_of(socket, "played")
            assert (played["utterance"], played["seconds"]) == (number, 0.4)
            assert not played["interrupted"]
        await socket.close()

    running(test, hub)


def test_a_post_that_was_cut_short_is_told_how_much_was_taken():
    hub = make_hub(0.05)

    async def test(address, client):
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        session = hub.find((await next_of(socket, "ready"))["session"])

        async def body():
            yield speech(5)
            while session.last_utterance < 1:
                await asyncio.sleep(0.01)
            await socket.send_json({"type": "clear"})
            assert (await next_of(socket, "played"))["interrupted"]
            yield speech(20)

        answer = await client.post(f"{address}/sessions/{session.id}/say", data=body())
        assert await answer.json() == {"utterance": 1, "seconds": 0.2}
        await socket.close()

    running(test, hub)


def test_what_goes_wrong_in_the_server_is_told_by_a_number_alone(tmp_path, caplog):
    (tmp_path / "secret").touch()
    hub = make_hub(0.05, record=tmp_path / "secret" / "missing")

    async def test(address, client):
        answer = await client.post(f"{address}/sessions")
        assert answer.status == 500
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start"})
        for told in (await answer.json(), await next_of(socket, "error")):
            assert told["code"] == "internal"
            assert "secret" not in told["message"]
            assert f"error {told['message'].split()[-1]}, as a client" in caplog.text
        await socket.close()

    running(test, hub)
    assert "secret" in caplog.text
    assert not hub._places


class Deaf:
    """Hears speech in the second half of each second alone."""

    def __init__(self, rate_hz):
        self.rate_hz, self.num_samples = rate_hz, 0

    def is_speech(self, block):
        at, self.num_samples = self.num_samples, self.num_samples + block.shape[1]
        return at % self.rate_hz >= self.rate_hz / 2


@pytest.mark.parametrize(("detector", "num_utterances"), [(None, 1), (Deaf, 2)])
def test_a_microphone_is_judged_by_the_servers_detector_as_well(detector, num_utterances):
    hub = make_hub(0.05, detector=detector)

    async def test(address, client):
        socket = await client.ws_connect(f"{address}/live")
        await socket.send_json({"type": "start", "source": "microphone"})
        session = hub.find((await next_of(socket, "ready"))["session"])
        await socket.send_bytes(speech(25, 0.0) + speech(50))
        await socket.send_json({"type": "end"})
        await next_of(socket, "played")
        assert session.last_utterance == num_utterances
        await socket.close()

    running(test, hub)
