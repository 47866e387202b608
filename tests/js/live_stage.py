"""The live server with a lamp for its networks: as bright as it is loud, as slow as is declared.

``python -m tests.js.live_stage`` prints where it listens, with and without a token.
"""

import asyncio
import json
import sys

from flashtalk_core.serve.access import Access
from flashtalk_core.serve.app import LiveApp
from flashtalk_core.serve.page_files import find_page
from tests.unit.serve.lamp import make_hub

CHUNK_FRAMES, FACTOR, TOKEN = 17, 0.5, "a token"
NEW_FRAMES = CHUNK_FRAMES - 5
FIRST_FRAMES = FACTOR * NEW_FRAMES / 2
"""Time to the first frames of a chunk, in frames."""


async def listen(token):
    """Serve at a free port; returns the address."""
    from aiohttp import web

    hub = make_hub(FACTOR, chunk_frames=CHUNK_FRAMES)
    app = LiveApp(hub, Access(host="127.0.0.1", token=token), find_page()).make()
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def serve():
    """Serve until the process is ended."""
    import av  # noqa: F401, before the first stream starts

    addresses = {"open": await listen(""), "guarded": await listen(TOKEN)}
    sys.stdout.write(f"{json.dumps(addresses)}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
