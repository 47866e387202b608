"""A server on a free port, for tests of routes."""

from contextlib import asynccontextmanager


@asynccontextmanager
async def running(app, **session):
    """Run an aiohttp application; gives its address, and a client made with ``session``."""
    import aiohttp
    from aiohttp import web

    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession(**session) as client:
            yield f"http://127.0.0.1:{port}", client
    finally:
        await runner.cleanup()
