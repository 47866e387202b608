"""What a page or a workflow may send to ComfyUI: requests, menu names, prefixes, prompt lines."""

import asyncio
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

from aiohttp import web
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.test_utils import make_mocked_request

from flashtalk_core.errors import FlashTalkError
from tests.nodes.conftest import Pack

from ..mutate import changed_json, changed_lines, mutated
from ..reader import MIB, Reader

HOST = "127.0.0.1:8188"
SESSION = "s" * 32
FOREIGN = ("evil.example", "127.0.0.1.evil.example", "null", "http://[", "a\x00b", "*")


@cache
def _pack():
    pack = Pack()
    with pack.inserted():
        pack.load()
        for name in ("preview.streams", "host.output", "host.model_files", "graph.prompt_lines"):
            pack[f"nodes.{name}"]
    return pack


def _in_pack(prepare):
    """Return what opens a reader of the pack, in a ComfyUI whose folders are empty."""

    def opened(folder):
        pack = _pack()
        with pack.inserted():
            pack["folder_paths"].use_base(folder)
            pack["comfy.utils"].updates.clear()
            refusal = pack["flashtalk_core.errors"].FlashTalkError
            read = prepare(pack, folder)

        def inside(case):
            with pack.inserted():
                pack["folder_paths"].use_base(folder)  # all readers of the pack share it
                try:
                    read(case)
                except refusal as error:  # a class of the pack's own copy of the core
                    raise FlashTalkError(str(error)) from error

        return inside

    return opened


def _requests(folder):
    lines = [f"Host: {HOST}", "Sec-Fetch-Site: same-origin", f"Origin: http://{HOST}"]
    other = ["Host: evil.example", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site",
             "Referer: http://evil.example/a", "X-Forwarded-Host: evil.example, a"]  # fmt: skip
    made = []
    for name in (SESSION, f"{SESSION}/message", f"{SESSION}?from=0", "%2e%2e%2fa?from=-1"):
        path = f"/flashtalk/stream/{name}"
        for method in ("GET", "HEAD"):
            for head in (lines, lines[:1], lines + other, other):
                made.append("\r\n".join([f"{method} {path} HTTP/1.1", *head, "", ""]).encode())
    return made


def _changed_request(rng, seeds):
    text = rng.choice(seeds)
    if rng.random() < 0.5:
        return mutated(rng, [text, *seeds])
    lines = text.split(b"\r\n")
    at = rng.randrange(max(1, len(lines) - 2))
    name, colon, _ = lines[at].partition(b": ")
    other = rng.choice(
        (*FOREIGN, HOST, "LOCALHOST", "a" * 3000, "host.lan", "[::1]:8188", "::", "")
    )
    if colon:
        lines[at] = name + colon + rng.choice(("", "http://", "https://")).encode() + other.encode()
    else:
        lines.insert(1, b"X-Forwarded-Host: " + other.encode())
    return b"\r\n".join(lines)


def _prepare_route(pack, folder):
    """Answer requests as aiohttp's parser reads them; no stream is sent without its whole id."""
    streams = pack["nodes.preview.streams"]
    app = web.Application()
    app.router.add_get(streams.ROUTE, streams.serve_stream)
    app.router.add_get(streams.MESSAGE_ROUTE, streams.serve_message)

    def read(case):
        session, stream = streams.stream_sessions().open()
        streams.page_hosts()[session] = frozenset({HOST})
        streams.last_messages()[session] = {"session": session}
        stream.begin(b"head")
        stream.add(b"data", 0, is_key=True)
        stream.close()
        try:
            raw = case.replace(SESSION.encode(), session.encode())
            answer = asyncio.run(_answer(app, raw))
            assert answer.status != 200 or session.encode() in raw
        finally:
            streams.stream_sessions().close(session)
            streams.last_messages().clear()
            streams.page_hosts().clear()

    return read


async def _answer(app, raw):
    loop = asyncio.get_running_loop()
    protocol = SimpleNamespace(_reading_paused=False, resume_reading=lambda: None)
    parser = HttpRequestParser(protocol, loop, 2**16, max_line_size=8190, max_field_size=8190)
    try:
        found, _, _ = parser.feed_data(raw + b"\r\n\r\n")
    except (HttpProcessingError, ValueError) as error:  # aiohttp answers these itself
        raise web.HTTPBadRequest from error
    if not found:
        raise web.HTTPBadRequest
    head = found[0][0]
    try:
        request = make_mocked_request(
            head.method, head.path, head.headers, app=app, transport=_transport()
        )
    except UnicodeEncodeError as error:  # of the stand-in, which makes bytes of it again
        raise web.HTTPBadRequest from error
    match = await app.router.resolve(request)
    request._match_info = match
    return await match.handler(request)


def _transport():
    """Return a connection that takes everything at once."""
    return Mock(
        get_write_buffer_size=lambda: 0, is_closing=lambda: False, get_extra_info=lambda *_: None
    )


def _prefixes(folder):
    return [b"FlashTalk/talk", b"a/b/%width%x%height%", b"../../out", b"/etc/a", b"..\\..\\a",
            b"a/../b", b".flashtalk/a", b"%date:yyyy%", b"C:\\a", b"a/./b"]  # fmt: skip


def _prepare_prefix(pack, folder):
    output = Path(pack["folder_paths"].get_output_directory()).resolve()

    def read(case):
        made = pack["nodes.host.output"].new_output(
            case.decode("utf-8", "surrogateescape"), (32, 48), ".mp4"
        )
        assert made.path.resolve().is_relative_to(output), made
        assert output / ".flashtalk" not in made.path.resolve().parents, made
        assert (output / made.subfolder).resolve().is_relative_to(output), made

    return read


def _menus(folder):
    model = {"model": "tiny (bundled)", "vae": "auto", "text_encoder": "auto", "lora": "none"}
    names = ("../x", "/etc/passwd", "a/../b.safetensors", "..\\a.safetensors", "style.safetensors")
    return [json.dumps(model | {key: name}).encode() for key in model for name in names]


def _prepare_menus(pack, folder):
    models, folders = pack["nodes.host.model_files"], pack["nodes.host.folders"]
    find_loras = pack["flashtalk_core.engine.resolve"].find_loras
    model_spec, host = (
        pack["nodes.model_loader"].model_spec,
        pack["nodes.host.render_host"].ComfyHost(),
    )
    inside = (folder / "models").resolve()

    def read(case):
        try:
            given = json.loads(case)
        except (ValueError, RecursionError):
            return  # ComfyUI reads the prompt itself
        given = given if isinstance(given, dict) else {}
        usual = dict.fromkeys(models.INPUT_OF.values(), "auto") | {"model": "tiny (bundled)"}
        choice = {name: str(given.get(name, value)) for name, value in usual.items()}
        lora = str(given.get("lora", "none"))
        assert folders.lora_path(lora).parent.resolve().is_relative_to(inside)
        models.list_errors(choice)
        models.find_files(choice)
        find_loras(model_spec(choice, lora, 1.0), host)

    return read


def _prompt_lines(folder):
    return ["12.5: She smiles\n1:05: nods\n1:02:03.5\uff1a x\n".encode(), b"9" * 900 + b": x"]


def _prepare_lines(pack, folder):
    reader = pack["nodes.graph.prompt_lines"]
    return lambda case: reader.read_prompt_lines(case.decode("utf-8", "surrogateescape"))


READERS = (
    Reader("requests for a stream", _requests, _in_pack(_prepare_route), _changed_request, 4_000,
           256 * MIB, (FlashTalkError, web.HTTPException)),
    Reader("filename prefixes", _prefixes, _in_pack(_prepare_prefix), mutated, 2_000, 256 * MIB),
    Reader("names in menus", _menus, _in_pack(_prepare_menus), changed_json, 2_000),
    Reader("prompt lines", _prompt_lines, _in_pack(_prepare_lines), changed_lines, 3_000,
           256 * MIB),
)  # fmt: skip
