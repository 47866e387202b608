"""FlashTalk avatar for LiveKit Agents."""

from livekit.agents import Plugin

from .avatar import AvatarSession
from .generator import FlashTalkGenerator
from .log import logger
from .version import __version__

__all__ = ["AvatarSession", "FlashTalkGenerator", "__version__"]


class FlashTalkPlugin(Plugin):
    """The plugin, as LiveKit Agents lists it."""

    def __init__(self) -> None:
        super().__init__(__name__, __version__, __package__ or __name__, logger)


Plugin.register_plugin(FlashTalkPlugin())
