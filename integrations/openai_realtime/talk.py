"""An OpenAI Realtime agent with a FlashTalk avatar: type to it, watch it at the printed address.

A line that is typed while it speaks interrupts it; what was not heard is cut from its transcript.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator

from flashtalk_client import LiveAvatar, Played, RefusedError, Start
from openai import AsyncOpenAI, OpenAIError
from openai.resources.realtime.realtime import AsyncRealtimeConnection


class Talk:
    """A conversation of one user, an agent and its avatar."""

    def __init__(self, avatar: LiveAvatar, agent: AsyncRealtimeConnection) -> None:
        self.avatar, self.agent = avatar, agent
        self.items: dict[int, str] = {}  # of the conversation, by utterance
        self.response = self.cancelled = ""

    async def speak(self) -> None:
        """Let the avatar say what the agent says."""
        async for event in self.agent:
            if event.type == "response.created":
                self.response = event.response.id or ""
            elif event.type == "response.done":
                self.response = ""
            elif event.type == "input_audio_buffer.speech_started":  # where it hears the user
                await self.interrupt()
            elif event.type == "response.output_audio.delta":
                if event.response_id != self.cancelled:
                    number = await self.avatar.push(base64.b64decode(event.delta))
                    self.items.setdefault(number, event.item_id)
            elif event.type == "response.output_audio.done":
                await self.avatar.end()
            elif event.type == "error":
                sys.stderr.write(f"{event.error.message}\n")

    async def interrupt(self) -> None:
        """Stop agent and avatar."""
        if self.response:
            self.cancelled = self.response
            await self.agent.response.cancel()
        await self.avatar.clear()

    async def truncate(self) -> None:
        """Cut what was interrupted where it was heard last."""
        async for item in self.avatar:
            if isinstance(item, Played) and item.interrupted and item.utterance in self.items:
                await self.agent.conversation.item.truncate(
                    item_id=self.items[item.utterance],
                    content_index=0,
                    audio_end_ms=int(1000 * item.seconds),
                )

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Take each line as a turn of the user; afterwards wait for the last answer."""
        tasks = [asyncio.create_task(part) for part in (self.speak(), self.truncate())]
        async for line in lines:
            if self.response or not self.avatar.is_quiet:
                await self.interrupt()
            text = [{"type": "input_text", "text": line}]
            item = {"type": "message", "role": "user", "content": text}
            await self.agent.conversation.item.create(item=item)
            await self.agent.response.create()
        await self.avatar.wait_played()
        for task in tasks:
            task.cancel()


async def typed() -> AsyncIterator[str]:
    """Yield what is typed, line by line, to the end of the input."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()


async def main(url: str = "http://127.0.0.1:8190") -> None:
    """Talk; the server's address may be named."""
    avatar = await LiveAvatar.connect(url, Start(rate=24_000, pictures="none"))
    sys.stdout.write(f"watch {avatar.stream_url}\n")
    try:
        async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as agent:
            await agent.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
            await Talk(avatar, agent).run(typed())
    finally:
        await avatar.close()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (ConnectionError, OpenAIError, RefusedError) as error:
        sys.exit(f"error: {error}")
