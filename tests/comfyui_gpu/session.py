"""One server in use: prompts are run, and what each took is noted."""

import time
from itertools import count
from typing import Any

from tests.comfyui.client import Client
from tests.comfyui.graphs import avatar_graph
from tests.comfyui.server import Server
from tests.comfyui.videos import measure
from tests.comfyui.websocket import Listener

from .readings import Memory, Report, read_memory

RUN_LIMIT_S = 240
FRAME_RATE_HZ = 25
CHUNK_FRAMES = 28
TWO_CHUNKS_S = 2 * CHUNK_FRAMES / FRAME_RATE_HZ
STEPS = 4
FREE_S = 30.0
EMPTY_GB = 1.0
"""That torch may keep of a device once everything is given back."""
EMPTY_HOST_GB = 6.0
_numbers = count()
"""No two prompts are alike, so that each is rendered."""


class Session:
    """A server, its one user, and the table."""

    def __init__(self, server: Server, flags: str, report: Report, *, is_bounded: bool):
        self.server = server
        self.client = Client(server.url, server.base / "output", RUN_LIMIT_S)
        self.model = ""
        """In the Model Loader's menu."""
        self.is_bounded = is_bounded
        """Whether readings say something of a GPU."""
        self._flags, self._report = flags or "no options", report

    def graph(self, **settings: Any) -> dict[str, Any]:
        """Return a prompt with places as ``node__input``; on a GPU its size is the model's own."""
        number = next(_numbers)
        own = {
            "loader.model": self.model,
            "sampler.seed": number,
            "speech.duration": TWO_CHUNKS_S,
            "preview.filename_prefix": f"gpu/{number:03}",
        }
        if self.is_bounded:  # else the smallest, which all prompts have
            own |= {"reference.size": "the model's own", "sampler.steps": STEPS}
        return avatar_graph(own | {at.replace("__", ".", 1): v for at, v in settings.items()})

    def note(self, what: str, **values: Any) -> Memory:
        """Add a row to the table, with what is taken now."""
        memory = read_memory(self.client, self.server.pid)
        self._report.add(self._flags, what, memory, **values)
        return memory

    def render(self, what: str, prompt: dict[str, Any], **values: Any) -> Memory:
        """Run a prompt to its end and look at its video; note what it took and takes now."""
        with Listener(self.server.port, self.client.id) as listener:
            start_s = time.monotonic()
            outcome = self.client.run(prompt)
            seconds = time.monotonic() - start_s
            pace = pace_of(listener) if outcome.is_success else 0.0
        memory = self.note(what, seconds=seconds, frames_per_s=pace, **values)
        assert outcome.is_success, outcome.messages
        duration_s = prompt["speech"]["inputs"]["duration"]
        found = measure(self.client.video(outcome))
        assert found.num_frames == round(duration_s * FRAME_RATE_HZ)
        return memory

    def free(self, what: str) -> Memory:
        """Have ComfyUI give everything back, which it does when its worker is idle."""
        self.client.post("/free", unload_models=True, free_memory=True)
        start_s, wait_s = time.monotonic(), FREE_S if self.is_bounded else 1.0
        while time.monotonic() - start_s < wait_s:
            memory = read_memory(self.client, self.server.pid)
            if memory.reserved <= EMPTY_GB and memory.host_own <= EMPTY_HOST_GB:
                break
            time.sleep(0.2)
        return self.note(what, seconds=time.monotonic() - start_s)


def pace_of(listener: Listener) -> float:
    """Return frames a second between the images of the second and of the last chunk.

    Of two chunks, from the first; 0 of one.
    """
    at_s = [message.at_s for message in listener.of_kind("preview")]
    first = 1 if len(at_s) > 2 else 0
    if len(at_s) < 2 or at_s[-1] == at_s[first]:
        return 0.0
    return CHUNK_FRAMES * (len(at_s) - 1 - first) / (at_s[-1] - at_s[first])
