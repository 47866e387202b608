"""The avatar of an agent: a FlashTalk session whose pictures and sound go into its room."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from flashtalk_client import LiveAvatar, Start, read_portrait
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.avatar import (
    AvatarOptions,
    AvatarRunner,
    QueueAudioOutput,
)
from livekit.agents.voice.avatar import (
    AvatarSession as BaseAvatarSession,
)

from .generator import FlashTalkGenerator
from .log import logger

_RATE = 24_000
_URL = "http://127.0.0.1:8190"


class AvatarSession(BaseAvatarSession[str]):
    """Lets an agent speak through an avatar, which this process publishes."""

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        portrait: str | Path | bytes | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        idle: Literal["bank", "still", "draw"] = "bank",
        pictures: Literal["rgb", "jpeg"] = "rgb",
    ) -> None:
        """Wish for an avatar; :meth:`start` begins it.

        Args:
            url: Of the server; ``None`` is ``$FLASHTALK_URL``, or http://127.0.0.1:8190.
            token: Of the server; ``None`` is ``$FLASHTALK_TOKEN``.
            portrait: An image file, as path or bytes; ``None`` is the server's own.
            prompt: ``None`` is the server's own.
            seed: ``None`` is the server's own.
            idle: What is shown in silence: stored frames, the portrait, or drawn silence.
            pictures: How the server sends pictures; ``jpeg`` for slow networks, needs Pillow.

        Raises:
            ValueError: If the portrait cannot be read.
        """
        super().__init__()
        self._url = url or os.environ.get("FLASHTALK_URL", _URL)
        self._token = os.environ.get("FLASHTALK_TOKEN", "") if token is None else token
        if portrait is not None and not isinstance(portrait, bytes):
            portrait = read_portrait(portrait)
        self._wishes = Start(
            rate=_RATE, pictures=pictures, idle=idle, portrait=portrait, prompt=prompt, seed=seed
        )
        self._avatar: LiveAvatar | None = None
        self._runner: AvatarRunner | None = None

    @property
    def avatar_identity(self) -> str:
        """Identity of the agent itself, which publishes the avatar's tracks."""
        return "flashtalk-avatar" if self._room is None else self._room.local_participant.identity

    @property
    def provider(self) -> str:
        """Name for metrics."""
        return "flashtalk"

    async def start(self, agent_session: AgentSession, room: rtc.Room) -> None:
        """Begin a session on the server, and speak through it from now on.

        Args:
            agent_session: Whose audio output is replaced.
            room: Where the tracks are published.

        Raises:
            ConnectionError: If there is no server.
            flashtalk_client.RefusedError: If it does not take the session.
        """
        avatar = await LiveAvatar.connect(self._url, self._wishes, token=self._token)
        self._avatar = avatar
        ready = avatar.ready
        logger.info("FlashTalk avatar of %d x %d at %s", ready.width, ready.height, self._url)
        await super().start(agent_session, room)
        sound = QueueAudioOutput(sample_rate=_RATE, wait_playback_start=True)
        self._runner = AvatarRunner(
            room,
            audio_recv=sound,
            video_gen=FlashTalkGenerator(avatar, _RATE),
            options=AvatarOptions(ready.width, ready.height, ready.frame_rate, _RATE, 1),
        )
        await self._runner.start()
        agent_session.output.replace_audio_tail(sound)

    async def aclose(self) -> None:
        """End the session, and publish nothing more."""
        await super().aclose()
        if self._runner is not None:
            await self._runner.aclose()
            self._runner = None
        if self._avatar is not None:
            await self._avatar.close()
            self._avatar = None
