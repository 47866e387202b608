"""Logger of the plugin, where LiveKit Agents expects it."""

import logging

logger = logging.getLogger("livekit.plugins.flashtalk")
