"""ComfyUI's HTTP interface, as the page uses it."""

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLL_S = 0.05
RUN_LIMIT_S = 120


class Refused(Exception):
    """ComfyUI answered with an error; ``answer`` is what it said."""

    def __init__(self, status: int, answer: Any):
        super().__init__(f"HTTP {status}: {answer}")
        self.answer = answer

    def details(self, node: str) -> str:
        """Return what is wrong with a node of a prompt, one line each."""
        return "\n".join(
            f"{error['message']}: {error['details']}"
            for error in self.answer["node_errors"][node]["errors"]
        )


@dataclass(frozen=True)
class Outcome:
    """What became of a prompt."""

    prompt: dict[str, Any]
    outputs: dict[str, Any]
    messages: dict[str, dict[str, Any]]
    """What the server said, by kind."""

    @property
    def is_success(self) -> bool:
        return "execution_success" in self.messages

    @property
    def error(self) -> str:
        """What a node said that failed."""
        return self.messages["execution_error"]["exception_message"].strip()

    @property
    def executed(self) -> set[str]:
        """Nodes that ran: those whose result was not cached."""
        return set(self.prompt) - set(self.messages["execution_cached"]["nodes"])

    @property
    def duration_s(self) -> float:
        times = [message["timestamp"] for message in self.messages.values()]
        return (max(times) - min(times)) / 1000


class Client:
    """A user of one server."""

    def __init__(self, url: str, output: Path, run_limit_s: float = RUN_LIMIT_S):
        self.url = url
        self.run_limit_s = run_limit_s
        self.output = output
        self.id: str | None = uuid.uuid4().hex
        """``None`` queues as a script does that listens to nothing."""

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return answer.read()

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, json.loads(error.read() or "null")) from error

    def queue(self, prompt: dict[str, Any], **pnginfo: Any) -> str:
        """Queue a prompt and return its id; ``pnginfo`` is what the page sends for the file."""
        prompt_id = str(uuid.uuid4())
        extra = {"extra_data": {"extra_pnginfo": pnginfo}} if pnginfo else {}
        client = {} if self.id is None else {"client_id": self.id}
        self.post("/prompt", prompt=prompt, prompt_id=prompt_id, **client, **extra)
        return prompt_id

    def wait(self, prompt_id: str) -> Outcome:
        """Return what became of a prompt once it has ended."""
        deadline = time.monotonic() + self.run_limit_s
        while time.monotonic() < deadline:
            if entry := self.get_json(f"/history/{prompt_id}").get(prompt_id):
                messages = dict(entry["status"]["messages"])
                return Outcome(entry["prompt"][2], entry["outputs"], messages)
            time.sleep(POLL_S)
        raise TimeoutError(f"prompt {prompt_id} did not end within {self.run_limit_s} s")

    def run(self, prompt: dict[str, Any], **pnginfo: Any) -> Outcome:
        """Run a prompt to its end, whatever that is."""
        return self.wait(self.queue(prompt, **pnginfo))

    def render(self, prompt: dict[str, Any], **pnginfo: Any) -> Outcome:
        """Run a prompt that must succeed."""
        outcome = self.run(prompt, **pnginfo)
        assert outcome.is_success, outcome.messages
        return outcome

    def video(self, outcome: Outcome, node: str = "preview") -> Path:
        """Return the file a node wrote."""
        (saved,) = outcome.outputs[node]["images"]
        assert saved["type"] == "output"
        return self.output / saved["subfolder"] / saved["filename"]
