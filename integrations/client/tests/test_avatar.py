"""A client and a real server."""

import asyncio

import pytest
from flashtalk_client import Frame, Idle, LiveAvatar, Played, RefusedError, Speaking, Start
from flashtalk_client.connection import connect

FRAME_S = 0.04


class Watcher:
    """Keeps what a session sends."""

    def __init__(self, avatar):
        self.avatar, self.items = avatar, []
        self.task = asyncio.create_task(self.run())

    async def run(self):
        async for item in self.avatar:
            self.items.append(item)

    async def until(self, wanted, timeout_s=30):
        async with asyncio.timeout(timeout_s):
            while not any(wanted(item) for item in self.items):
                assert not self.task.done(), self.task
                await asyncio.sleep(0.02)

    async def until_played(self, number):
        await self.until(lambda item: isinstance(item, Played) and item.utterance == number)

    @property
    def played(self):
        return [item for item in self.items if isinstance(item, Played)]

    @property
    def speech(self):
        return [item for item in self.items if isinstance(item, Frame) and item.is_speech]


@pytest.fixture(scope="module")
def strict_server(run_server):
    with run_server("--token", "secret", "--idle-limit", "1.5") as (url, _):
        yield url


@pytest.fixture
async def session(server):
    avatars = []

    async def begin(url=server, token="", **wishes):
        avatar = await LiveAvatar.connect(url, Start(**wishes), token=token)
        avatars.append(avatar)
        return avatar, Watcher(avatar)

    yield begin
    for avatar in avatars:
        await avatar.close()


async def test_an_utterance_is_spoken_in_order_and_reported_once(session, tone):
    avatar, watcher = await session()
    sound = tone(1.0)
    for start in range(0, len(sound), 1001):  # not whole samples
        assert await avatar.push(sound[start : start + 1001]) == 1
    await avatar.end()
    await avatar.wait_played()
    await watcher.until(lambda item: isinstance(item, Idle))

    assert watcher.played == [Played(1, 1.0, interrupted=False)]
    assert len(watcher.speech) == 25
    assert all(frame.picture[0] > 110 for frame in watcher.speech), "lit while it speaks"
    at = watcher.items.index
    assert at(watcher.speech[0]) == at(Speaking(1)) + 1
    assert at(watcher.speech[-1]) == at(watcher.played[0]) - 1
    numbers = [item.number for item in watcher.items if isinstance(item, Frame)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    spoken = b"".join(frame.sound for frame in watcher.speech)
    assert len(spoken) == len(sound)


async def test_interrupted_it_is_soon_silent_and_speaks_again(session, tone):
    avatar, watcher = await session()
    await avatar.push(tone(4.0))  # not ended
    await watcher.until(lambda item: isinstance(item, Frame) and item.is_speech)
    await asyncio.sleep(0.5)
    before = len(watcher.speech)
    assert await avatar.clear() == 1
    await watcher.until_played(1)
    assert len(watcher.speech) - before <= 5
    assert watcher.played == [Played(1, pytest.approx(len(watcher.speech) * FRAME_S), True)]

    assert await avatar.push(tone(0.4)) == 2
    await avatar.end()
    await watcher.until_played(2)
    assert watcher.played[1] == Played(2, pytest.approx(0.4), False)


async def test_cleared_before_it_began_it_is_reported_as_not_played(session, tone):
    avatar, watcher = await session()
    await avatar.push(tone(0.02))
    await avatar.clear()
    await watcher.until_played(1)
    assert watcher.played == [Played(1, 0.0, interrupted=True)]


async def test_more_than_fits_waits_and_a_clear_lets_it_go(session, tone):
    avatar, watcher = await session()
    pushing = asyncio.create_task(avatar.push(tone(70.0)))
    await watcher.until(lambda item: isinstance(item, Frame) and item.is_speech)
    assert not pushing.done()
    await avatar.clear()
    assert await asyncio.wait_for(pushing, 5) == 1
    await watcher.until_played(1)
    assert not [item for item in watcher.items if type(item).__name__ == "Refused"]


async def test_after_a_break_the_same_session_goes_on(session, tone):
    avatar, watcher = await session()
    name = avatar.ready.session
    await avatar.push(tone(1.0))
    await watcher.until(lambda item: isinstance(item, Frame) and item.is_speech)
    avatar._connection.socket._response.connection.transport.abort()
    await watcher.until_played(1)
    assert await avatar.push(tone(1.0)) == 1, "the rest of it is dropped"
    await avatar.end()
    assert await avatar.push(tone(0.4)) == 2
    await avatar.end()
    await watcher.until_played(2)
    assert avatar.ready.session == name
    assert [(one.utterance, one.interrupted) for one in watcher.played] == [(1, False), (2, False)]


async def test_an_end_that_is_lost_in_a_break_is_made_up_for(session, tone):
    avatar, watcher = await session()
    await avatar.push(tone(1.0))
    await watcher.until(lambda item: isinstance(item, Frame) and item.is_speech)
    other = await connect(avatar._url, Start().message(avatar.ready.session), "")
    await avatar.end()  # to a connection that the other has taken the place of
    await watcher.until_played(1)
    await other.close()


async def test_a_session_that_the_server_ended_is_begun_anew(session, strict_server, tone):
    avatar, watcher = await session(strict_server, "secret")
    name = avatar.ready.session
    async with asyncio.timeout(20):
        while avatar.ready.session == name:
            await asyncio.sleep(0.05)
    assert await avatar.push(tone(0.2)) == 1
    await avatar.end()
    await watcher.until_played(1)


async def test_a_session_without_pictures_is_told_of_events(session, tone):
    avatar, watcher = await session(pictures="none")
    await avatar.push(tone(0.4))
    await avatar.end()
    await watcher.until_played(1)
    await watcher.until(lambda item: isinstance(item, Idle))
    assert watcher.items == [Speaking(1), Played(1, pytest.approx(0.4), False), Idle()]


async def test_a_file_is_refused_before_it_is_an_utterance(session, tone):
    avatar, watcher = await session(pictures="none")
    with pytest.raises(ValueError, match="samples alone, s16le at 24000 Hz"):
        await avatar.push(b"RIFF" + bytes(40) + tone(0.2))
    await avatar.push(tone(0.2))
    await avatar.end()
    await watcher.until_played(1)
    assert watcher.played == [Played(1, pytest.approx(0.2), False)]


async def test_jpeg_is_decoded(session):
    pytest.importorskip("PIL")
    avatar, watcher = await session(pictures="jpeg")
    await watcher.until(lambda item: isinstance(item, Frame))
    frame = watcher.items[0]
    assert len(frame.rgb()) == 3 * avatar.ready.height * avatar.ready.width


async def test_refusals_say_why(server, strict_server):
    with pytest.raises(RefusedError, match=r"image|picture"):
        await LiveAvatar.connect(server, Start(portrait=b"no image"))
    with pytest.raises(RefusedError) as refused:
        await LiveAvatar.connect(strict_server, token="wrong")
    assert refused.value.code == "token"
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        await LiveAvatar.connect("http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="no address; use http://HOST:PORT"):
        await LiveAvatar.connect("127.0.0.1:8190")
    with pytest.raises(ValueError, match="multiple of 25"):
        Start(rate=22_051)
