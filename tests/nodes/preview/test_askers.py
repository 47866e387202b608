"""Who gets a stream: the page that renders, however it is reached, and no page of another site."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from tests.nodes import local_server

pytestmark = pytest.mark.cpu

aiohttp = pytest.importorskip("aiohttp", reason="the route needs ComfyUI's server")

PORT = "8188"
PUBLIC = "comfy.example.com"


@pytest.fixture
def streams(pack, monkeypatch):
    module = pack["nodes.preview.streams"]
    for kept in (module.stream_sessions, module.last_messages, module.page_hosts):
        kept.cache_clear()
    pack["nodes.preview.askers"]._logged.cache_clear()
    monkeypatch.setattr(pack["server"].PromptServer.instance, "sockets", {}, raising=False)
    return module


@pytest.fixture
def args(pack, monkeypatch):
    def arrange(origin):
        args = pack["comfy.cli_args"].args
        monkeypatch.setattr(args, "enable_cors_header", origin, raising=False)

    return arrange


@asynccontextmanager
async def serving(streams):
    """Serve the routes and a socket as ComfyUI's; gives the address and a client."""
    from aiohttp import web
    from server import PromptServer

    async def socket_of_page(request):
        page = web.WebSocketResponse()
        await page.prepare(request)
        PromptServer.instance.sockets[request.query["clientId"]] = page
        async for _ in page:
            pass
        return page

    app = web.Application()
    app.router.add_get(streams.ROUTE, streams.serve_stream)
    app.router.add_get(streams.MESSAGE_ROUTE, streams.serve_message)
    app.router.add_get("/ws", socket_of_page)
    async with local_server.running(app) as served:
        yield served


async def ask(base, client, session, headers):
    """Return the states of both routes; they never differ in who may ask."""
    found = []
    for path in (session, f"{session}/message"):
        url = f"{base}/flashtalk/stream/{path}"
        async with client.get(url, headers=headers) as answer:
            found.append(answer.status)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            policy = answer.headers["Cross-Origin-Resource-Policy"]
    return *found, policy


def asked(streams, headers, page=None):
    """Ask for a stream; ``page`` are the headers of the socket of the page that renders it."""

    async def run():
        session, stream = streams.stream_sessions().open()
        stream.begin(b"head")
        async with serving(streams) as (base, client):
            own = base.removeprefix("http://")
            filled = {key: text.replace("OWN", own) for key, text in headers.items()}
            message = {"session": session, "state": "live"}
            if page is None:
                streams.send_message(message)
                return await ask(base, client, session, filled)
            opened = {key: text.replace("OWN", own) for key, text in page.items()}
            async with client.ws_connect(f"{base}/ws?clientId=page", headers=opened):
                streams.send_message(message)
                return await ask(base, client, session, filled)

    return asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},  # <video src>, and fetch
        {"Sec-Fetch-Site": "none"},  # an address that was typed
        {"Origin": "http://OWN"},
        {"Origin": "http://OWN", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "HTTP://OWN"},
        {"Origin": "http://127.0.0.1"},  # ComfyUI: some browsers leave the port out
        {"Host": f"localhost:{PORT}", "Origin": f"http://localhost:{PORT}"},
        {"Host": f"[::1]:{PORT}", "Origin": f"http://[::1]:{PORT}"},
        {"Host": f"192.168.1.7:{PORT}"},
        {"Host": f"workstation:{PORT}"},
        {"Host": f"workstation.local:{PORT}", "Origin": f"http://workstation.local:{PORT}"},
        # a proxy that calls the server by its own name for it
        {"Origin": f"https://{PUBLIC}", "X-Forwarded-Host": PUBLIC},
        {"Origin": f"https://{PUBLIC}", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_own_page_gets_its_stream(streams, headers):
    assert asked(streams, headers) == (200, 200, "same-origin")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://OWN"},
        {"Sec-Fetch-Site": "something new"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://OWN.evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Origin": "http://["},
        {"Origin": "https://evil.example", "X-Forwarded-Host": PUBLIC},
        {"Host": "evil.example"},  # a name made to lead here (DNS rebinding)
        {"Host": f"evil.example:{PORT}", "Sec-Fetch-Site": "same-origin"},
        {"Host": f"evil.example:{PORT}", "Origin": f"http://evil.example:{PORT}"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"},
        {"Host": "evil.example:999999"},
    ],
)
def test_a_page_of_another_site_gets_nothing_though_it_knows_the_id(streams, headers):
    assert asked(streams, headers) == (403, 403, "same-origin")


@pytest.mark.parametrize(
    ("page", "headers"),
    [
        ({"Host": PUBLIC}, {"Host": PUBLIC}),
        ({"Host": PUBLIC}, {"Host": PUBLIC.upper()}),
        ({"Host": PUBLIC, "Origin": f"https://{PUBLIC}"}, {"Host": PUBLIC, "Origin": f"https://{PUBLIC}"}),
        # a proxy that passes the name on for one of the two only
        ({"Origin": f"https://{PUBLIC}"}, {"Host": PUBLIC}),
        ({"Host": PUBLIC}, {}),
    ],
)  # fmt: skip
def test_a_page_that_reaches_the_server_by_a_name_gets_its_stream_by_it(streams, page, headers):
    assert asked(streams, headers, page) == (200, 200, "same-origin")


def test_the_name_of_another_page_does_not_open_it(streams):
    assert asked(streams, {"Host": "evil.example"}, {"Host": PUBLIC})[:2] == (403, 403)


def test_a_page_of_unknown_address_is_not_refused(pack):
    server = SimpleNamespace(sockets={"page": object()})
    assert pack["nodes.preview.askers"].page_addresses(server, "page") is None


@pytest.mark.parametrize(
    ("opened", "headers", "status"),
    [
        ("*", {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}, 200),
        ("*", {"Origin": "null"}, 200),
        ("*", {"Host": "any.example"}, 200),
        ("https://other.example", {"Origin": "https://other.example"}, 200),
        (
            "https://other.example",
            {"Referer": "https://other.example/page", "Sec-Fetch-Site": "cross-site"},
            200,
        ),
        ("https://other.example", {"Origin": "https://evil.example"}, 403),
        ("https://other.example", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("https://other.example", {}, 200),
    ],
)
def test_a_server_that_is_opened_to_others_is_open_here_too(streams, args, opened, headers, status):
    args(opened)
    assert asked(streams, headers) == (status, status, "cross-origin")


def test_unknown_ids_tell_another_site_nothing(streams):
    async def run():
        async with serving(streams) as (base, client):
            return [
                await ask(base, client, "unknown", headers)
                for headers in ({}, {"Origin": "https://evil.example"})
            ]

    found = asyncio.run(asyncio.wait_for(run(), 20))
    assert found == [(404, 404, "same-origin"), (403, 403, "same-origin")]


def test_refusals_are_reported_a_few_times_and_steer_no_terminal(streams, caplog):
    for number in range(20):
        asked(streams, {"Origin": f"https://evil{number}.example"})
    logged = [line for line in caplog.messages if "page of another site" in line]
    assert 1 <= len(logged) <= 5
    assert "Origin: https://evil0.example" in logged[0]


def test_page_addresses_are_kept_for_the_newest_streams_only(streams):
    for number in range(streams.MAX_MESSAGES + 10):
        streams.send_message({"session": f"s{number}", "state": "live"})
    assert len(streams.page_hosts()) == len(streams.last_messages()) == streams.MAX_MESSAGES
