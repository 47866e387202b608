"""The engines of a Ray cluster; the only module that imports Ray."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError

from ...errors import FlashTalkError, InvalidInputError, WorkerError
from ...excerpt import reason
from ..channel import Blob
from ..limits import Limits
from ..messages import Message, decode, encode
from .broker import EngineLostError
from .head import reach_head

if TYPE_CHECKING:
    from .host import Packet

_NODE_LABEL = "ray.io/node-id"


def connect(address: str, devices: Sequence[str], num_threads: int, limits: Limits) -> RayEngines:
    """Join a cluster that runs.

    Args:
        address: ``host:port`` of its head, or ``auto`` for the cluster that this host is in.
        devices: Of each engine: ``cuda`` or ``cpu``, with any number behind a colon.
        num_threads: Of an engine on the CPU.
        limits: Of an engine that is a fleet.

    Raises:
        WorkerError: If nothing answers there, or this host is not in that cluster.
    """
    try:
        reach_head(address)
        ray.init(address, logging_level=logging.WARNING, configure_logging=False)
    except Exception as error:  # the border of a library: it raises what it likes
        raise WorkerError(
            f"cluster {address}: {reason(error)}; start it with `ray start --head`, and join it "
            "on this host with `ray start --address HOST:PORT`",
            subject="cluster",
        ) from error
    return RayEngines(address, devices, num_threads, limits)


class RayEngines:
    """Starts engines; :class:`.broker.Engines`."""

    def __init__(
        self, address: str, devices: Sequence[str], num_threads: int, limits: Limits
    ) -> None:
        """Start nothing yet; see :func:`connect`."""
        self._address = address
        self._has_gpus = devices[0].startswith("cuda")
        self._devices = tuple(
            f"cuda:{rank}" if self._has_gpus else "cpu" for rank in range(len(devices))
        )
        self._num_threads = num_threads
        self._limits = limits

    def start(self, avoided: Collection[str]) -> RayEngine:
        """Return an engine on any host that has room for it; see :class:`.broker.Engines`."""
        try:
            return self._start(avoided)
        except FlashTalkError:
            raise
        except Exception as error:  # the border of a library, as above
            raise WorkerError(
                f"cluster {self._address}: no engine can be started: {reason(error)}",
                subject="cluster",
            ) from error

    def _start(self, avoided: Collection[str]) -> RayEngine:
        what, count = ("GPU", len(self._devices)) if self._has_gpus else ("CPU", self._num_threads)
        nodes = {
            node["NodeID"] for node in ray.nodes() if node["Alive"]
            and node["Resources"].get(what, 0) >= count
        }  # fmt: skip
        if not nodes:
            raise InvalidInputError(
                f"cluster {self._address}: no host of it has {count} {what}(s); `ray status` "
                "lists what there is",
                subject="cluster",
            )
        options: dict[str, Any] = {"num_gpus": count} if self._has_gpus else {"num_cpus": count}
        if nodes - set(avoided) and avoided:
            options["label_selector"] = {_NODE_LABEL: f"!in({','.join(sorted(avoided))})"}
        # A second thread takes the request to stop.
        make = ray.remote(max_restarts=0, max_concurrency=2, **options)(_Actor)
        return RayEngine(make.remote(self._devices, self._limits))


class RayEngine:
    """An actor; :class:`.broker.RemoteEngine`."""

    def __init__(self, actor: Any) -> None:
        """Take an actor that may not run yet."""
        self._actor = actor
        self._place: Any = actor.place.remote()
        self._reports: Any = None
        self.node = self._name = ""

    def is_up(self, wait_s: float) -> bool:
        """Wait until it runs."""
        try:
            if not self.node and ray.wait([self._place], timeout=wait_s)[0]:
                self.node, self._name = ray.get(self._place)
        except Exception as error:  # the border of a library, and what the start of an actor raises
            raise self._lost(error) from error
        return bool(self.node)

    def carry_out(self, message: Message, blobs: Sequence[Blob]) -> None:
        """Begin a command; what it reports arrives as it is made."""
        run = self._actor.carry_out.options(num_returns="streaming")
        try:
            self._reports = run.remote(encode(message), [bytes(blob) for blob in blobs])
        except RayError as error:
            raise self._lost(error) from error

    def poll(self, wait_s: float) -> tuple[Message, list[bytes]] | None:
        """Return the next message."""
        if not ray.wait([self._reports], timeout=wait_s)[0]:
            return None
        try:
            following = next(self._reports)
        except (RayError, StopIteration) as error:
            raise self._lost(error) from error
        text, blobs = self._get(following)
        return decode(text), blobs

    def cancel(self, command: int) -> None:
        """Let a command stop at its next step."""
        self._actor.cancel.remote(command)

    def close(self) -> None:
        """End the process of the actor, and with it those of a fleet."""
        ray.kill(self._actor)

    def _get(self, reference: Any) -> Any:
        try:
            return ray.get(reference)
        except RayError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> EngineLostError:
        place = f"on {self._name}" if self._name else "that was to start"
        return EngineLostError(f"engine {place}: {reason(error)}")


class _Actor:
    """An engine where Ray starts it."""

    def __init__(self, devices: Sequence[str], limits: Limits) -> None:
        from .host import EngineHost  # torch, which the process that asks does without

        logging.basicConfig(level="INFO", format="%(asctime)s %(name)s: %(message)s")
        self._node = ray.get_runtime_context().get_node_id()
        self._name = f"{socket.gethostname()}, process {os.getpid()}"
        self._host = EngineHost(devices, self._name, limits)

    def place(self) -> tuple[str, str]:
        """Return the identity of the node, and what to call it."""
        return self._node, self._name

    def carry_out(self, text: bytes, blobs: Sequence[bytes]) -> Iterator[Packet]:
        """See :meth:`host.EngineHost.carry_out`."""
        yield from self._host.carry_out(text, blobs)

    def cancel(self, command: int) -> None:
        """See :meth:`host.EngineHost.cancel`."""
        self._host.cancel(command)
