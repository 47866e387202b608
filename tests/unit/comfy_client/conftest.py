"""A stand-in for the HTTP routes of ComfyUI: it keeps uploads and prompts, and answers."""

import asyncio
import json
from threading import Thread

import pytest
from aiohttp import web


class StandIn:
    """ComfyUI's routes that a batch uses; prompts end by what ``outcomes`` says, in turn."""

    def __init__(self):
        self.uploads, self.prompts, self.cancelled = {}, [], []
        self.outcomes = []
        """Of each prompt: ``done``, ``error``, ``refused``, ``lost``, or ``runs``."""
        self.faults = []
        """What goes wrong with one question after the other, by route: ``(start, fault)``; a
        status, ``cut``, ``hang up``, or bytes in place of the whole answer."""
        self.max_bytes = 2**30
        """As ComfyUI's ``--max-upload-size``."""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._runner = self._run(self._start())
        return self

    def __exit__(self, *_):
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _serve(self):
        self._loop.run_forever()

    def _run(self, work):
        if not self._thread.is_alive():
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self):
        app = web.Application(client_max_size=self.max_bytes, middlewares=[self._damage])
        app.add_routes([
            web.get("/system_stats", self._stats),
            web.post("/upload/image", self._upload),
            web.post("/prompt", self._prompt),
            web.get("/history/{id}", self._history),
            web.get("/queue", self._queue),
            web.post("/queue", self._delete),
            web.post("/interrupt", self._interrupt),
            web.get("/view", self._view),
        ])  # fmt: skip
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    @web.middleware
    async def _damage(self, request, handler):
        fault = next((each for each in self.faults if request.path.startswith(each[0])), None)
        if fault is None:
            return await handler(request)
        self.faults.remove(fault)
        if isinstance(fault[1], int):
            return web.Response(status=fault[1], text="no")
        answer = await handler(request) if fault[1] == "cut" else None
        # The answer itself, as no web server would write it.
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer.body)}\r\n\r\n" if answer else ""
        raw = head.encode() + answer.body[: len(answer.body) // 2] if answer else fault[1]
        if raw != "hang up":
            request.transport.write(raw)
        request.transport.close()
        return web.Response()

    async def _stats(self, _request):
        return await self._answer({"system": {}})

    async def _answer(self, found, status=200):
        return web.json_response(found, status=status)

    async def _upload(self, request):
        form = await request.post()
        assert (form["type"], form["overwrite"]) == ("input", "true")
        self.uploads[form["image"].filename] = form["image"].file.read()
        name = {"name": form["image"].filename, "subfolder": form["subfolder"], "type": "input"}
        return await self._answer(name)

    async def _prompt(self, request):
        self.prompts.append((await request.json())["prompt"])
        index = len(self.prompts) - 1
        if self._outcome(index) == "refused":
            details = {"class_type": "FlashTalk_Reference", "errors": [{"details": "image: gone"}]}
            error = {"message": "Prompt outputs failed validation"}
            return await self._answer({"error": error, "node_errors": {"4": details}}, 400)
        return await self._answer({"prompt_id": f"id-{index}"})

    def _outcome(self, index):
        return self.outcomes[index] if index < len(self.outcomes) else "done"

    async def _history(self, request):
        name = request.match_info["id"]
        index = int(name.removeprefix("id-"))
        outcome = self._outcome(index)
        if outcome in ("runs", "lost"):
            return await self._answer({})
        if outcome == "error":
            details = {"node_type": "FlashTalk_StreamPreview", "exception_message": "no room\n"}
            status = {"status_str": "error", "messages": [["execution_error", details]]}
            return await self._answer({name: {"status": status, "outputs": {}}})
        file = {"filename": f"v{index}.mp4", "subfolder": "FlashTalk", "type": "output"}
        outputs = {"8": {"images": [file], "animated": [True]}}
        found = {"status": {"status_str": "success", "messages": []}, "outputs": outputs}
        return await self._answer({name: found})

    async def _queue(self, _request):
        running = [
            [0, f"id-{index}"]
            for index in range(len(self.prompts))
            if self._outcome(index) == "runs" and f"id-{index}" not in self.cancelled
        ]
        return await self._answer({"queue_running": running, "queue_pending": []})

    async def _delete(self, request):
        assert json.loads(await request.text())["delete"]
        return web.Response()

    async def _interrupt(self, request):
        self.cancelled.append((await request.json())["prompt_id"])
        return web.Response()

    async def _view(self, request):
        query = request.query
        assert (query["subfolder"], query["type"]) == ("FlashTalk", "output")
        return web.Response(body=video(query["filename"]))


def video(name):
    """Return the boxes of an MP4 file that names itself."""
    return b"".join(
        (len(content) + 8).to_bytes(4, "big") + kind + content
        for kind, content in ((b"ftyp", b"isom"), (b"moov", name.encode()), (b"mdat", b"."))
    )


@pytest.fixture
def comfyui():
    with StandIn() as server:
        yield server


@pytest.fixture
def limited():
    """One that takes no file over a megabyte."""
    server = StandIn()
    server.max_bytes = 2**20
    with server:
        yield server
