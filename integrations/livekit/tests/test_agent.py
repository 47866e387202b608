"""A real AgentSession speaks through the avatar: what an agent does when it is interrupted."""

import asyncio

import pytest
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.plugins.flashtalk import AvatarSession
from room import Room

RATE = 24_000


async def frames_of(sound, pause_s=0.0):
    step = RATE // 50 * 2
    for start in range(0, len(sound), step):
        part = sound[start : start + step]
        yield rtc.AudioFrame(part, RATE, 1, len(part) // 2)
        await asyncio.sleep(pause_s)


@pytest.fixture
async def agent(server):
    session = AgentSession()
    avatar = AvatarSession(url=server)
    await session.start(Agent(instructions="be brief"))
    await avatar.start(session, Room())
    session.events = []
    session.output.audio.on("playback_finished", session.events.append)
    yield session
    await session.aclose()
    await avatar.aclose()


@pytest.mark.parametrize("pause_s", [0.0, 0.015])
async def test_what_an_agent_says_is_played_and_an_interruption_ends_it(agent, tone, pause_s):
    """With a pause the interruption comes while speech is still being made."""
    speech = agent.say("one second", audio=frames_of(tone(1.0)))
    await asyncio.wait_for(speech, 20)
    assert not speech.interrupted

    speech = agent.say("a long story", audio=frames_of(tone(6.0), pause_s))
    await asyncio.sleep(1.5)
    speech.interrupt()
    await asyncio.wait_for(speech, 5)
    assert speech.interrupted

    speech = agent.say("half a second", audio=frames_of(tone(0.52)))
    await asyncio.wait_for(speech, 20)
    positions = [event.playback_position for event in agent.events]
    assert [event.interrupted for event in agent.events] == [False, True, False]
    assert positions[::2] == pytest.approx([1.0, 0.52], abs=0.1)
    assert 0.3 < positions[1] < 1.6


async def test_the_avatar_joins_as_the_agent(agent, server):
    avatar = AvatarSession(url=server)
    await avatar.start(agent, Room())
    await avatar.wait_for_join(timeout=20)
    assert (avatar.avatar_identity, avatar.provider) == ("agent", "flashtalk")
    await avatar.aclose()


async def test_no_server_is_an_error_that_names_it():
    avatar = AvatarSession(url="http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        await avatar.start(AgentSession(), Room())
    with pytest.raises(ValueError, match="nowhere"):
        AvatarSession(portrait="nowhere.png")
