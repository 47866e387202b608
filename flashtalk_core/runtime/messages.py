"""What the processes of a fleet say to each other: plain data, as JSON; and who sends it.

Binary data follows a message as blobs; see :mod:`.channel`. Nothing that is received is ever
executed: kinds and fields are checked by their annotations, and what is not known is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..errors import InvalidInputError
from ..excerpt import excerpt
from ..json_text import parse_json
from ..settings import read_plain

if TYPE_CHECKING:  # the launcher does without torch
    from torch import Tensor

    from ..config.chunk import ChunkConfig

VERSION = 2
"""Of all messages together: both ends are of one copy of the package."""

FaultKind = Literal["input", "memory", "internal"]
"""Of a user's mistake, of memory that ran out, of a bug."""


@dataclass(frozen=True, kw_only=True)
class Array:
    """Dtype and shape of a blob that is a tensor."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RankMemory:
    """Memory of a GPU as a rank finds it between two renders."""

    free_bytes: int
    held_bytes: int
    """Of this rank's tensors, which are weights."""


# To the ranks. Each command but the last is answered by every rank with Finished, Stopped or Fault.


@dataclass(frozen=True, kw_only=True)
class OpenJob:
    """Prepare a session; blobs as :mod:`.job` describes them."""

    command: int
    """Number of the command; answers repeat it. It is that of the session, too."""
    job: str
    """JSON of a :class:`.job.Job`, whose class needs packages that the launcher does without."""


@dataclass(frozen=True, kw_only=True)
class GenerateChunk:
    """Generate a chunk; blobs are its samples, float32, and motion frames if ``motion`` is set."""

    command: int
    session: int
    """Number of the session; an engine of a cluster has one at a time."""
    index: int
    """Of the chunk, which decides its noise."""
    first_frame: int
    """Of those that it shows: a live session's chunks begin anywhere."""
    first_sample: int
    """Of the audio window."""
    motion: Array | None
    """Where a session continues: ``None`` before the first chunk, and where the ranks have them."""
    keep_state: bool
    """Continue from the motion frames that the ranks hold since the chunk before."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Free a session, and with ``networks`` all weights."""

    command: int
    networks: bool
    session: int | None
    """``None``: all that are open."""


@dataclass(frozen=True, kw_only=True)
class Exit:
    """End the process."""


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop a command, where there is no shared page to write that in."""

    command: int


# From the ranks; what says how far the work is comes from rank 0 only.


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A rank is up and has met the others."""

    rank: int
    pid: int
    device: str
    """Name of the device, as the rank's library gives it."""
    free_bytes: int | None
    """Of the device; ``None`` for a CPU, as the next."""
    total_bytes: int | None
    versions: tuple[str, ...]
    """Of the packages that decide the numbers; equal on all ranks."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """A tensor of a network is about to be read."""

    command: int
    network: str
    """Name of its class."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A denoising step is about to run."""

    command: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a chunk ends."""

    command: int
    name: str


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of the chunk lie in the shared pages; with ``is_last`` the motion frames do, too.

    Between hosts they are blobs: frames, uint8, and then the motion frames.
    """

    command: int
    first: int
    count: int
    is_last: bool
    motion: Array | None = None
    """Of motion frames that are a blob."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A rank carried out a command and is idle."""

    command: int
    rank: int
    memory: RankMemory | None = None
    """Of its GPU, after :class:`Release`; ``None`` otherwise, and for a CPU."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A rank left a command because it was cancelled, or another rank failed; it is idle."""

    command: int
    rank: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A rank failed in a command; it is idle."""

    command: int
    rank: int
    kind: FaultKind
    error: str
    """Class of the exception."""
    message: str
    subject: str | None
    """See :attr:`.errors.FlashTalkError.subject`."""
    phase: str
    """What the rank was doing, as the end of a sentence."""


# From the process that speaks with a cluster, in addition to the above.


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """No engine of the cluster is ready: it is to be free and to start, or to read weights."""

    command: int


# From the launcher.


@dataclass(frozen=True, kw_only=True)
class Started:
    """The processes of all ranks were started."""

    pids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RankEnded:
    """The process of a rank ended; the order of these messages is that of the deaths."""

    rank: int
    code: int
    """Exit code, or a signal's number below 0."""


Message = (
    OpenJob | GenerateChunk | Release | Exit | Cancel | Ready | Loading | Step | Stage | Frames
    | Finished | Stopped | Fault | Waiting | Started | RankEnded
)  # fmt: skip
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Message.__args__}


Report = Loading | Step | Stage | Frames
"""What is reported while a command is carried out."""


class GeneratedFrames(Protocol):
    """The frames of the chunk that is generated, and the motion frames that the next one needs."""

    def read(self, first: int, count: int) -> Tensor:
        """Return frames that were reported, ``(count, H, W, 3)`` uint8."""
        ...

    def read_motion(self) -> Tensor:
        """Return the motion frames when all frames were reported, ``(1, 3, M, H, W)`` float32."""
        ...


class Workers(Protocol):
    """The processes of this host, or an engine of a cluster: one life, from start to end."""

    @property
    def is_running(self) -> bool:
        """Whether they can carry out commands."""
        ...

    @property
    def ready(self) -> Mapping[int, Ready]:
        """What each rank said of itself."""
        ...

    @property
    def memory(self) -> Mapping[int, RankMemory]:
        """What each rank found on its GPU between two renders; without CPUs and other hosts."""
        ...

    def share_frames(self, chunk: ChunkConfig, size_px: tuple[int, int]) -> GeneratedFrames:
        """Return where the frames of a session arrive.

        Raises:
            NoMemoryError: If there is no memory for them.
        """
        ...

    def free_frames(self) -> None:
        """Free the memory of frames."""
        ...

    def run(
        self,
        make: Callable[[int], Message],
        blobs: Sequence[bytes | bytearray | memoryview] = (),
        limit_s: Callable[[], float] | None = None,
    ) -> Iterator[Report]:
        """Carry out a command, and yield what is reported until it ends.

        Args:
            make: Makes the message from the number of the command.
            blobs: Of the message.
            limit_s: Returns the longest time without progress, in seconds; ``None`` is that
                of loading.

        Raises:
            FlashTalkError: If it fails; see :attr:`is_running`.
        """
        ...

    def run_quietly(self, make: Callable[[int], Message]) -> None:
        """Carry out a command that reports nothing; see :meth:`run`."""
        ...

    def settle(self) -> None:
        """Cancel the command that runs, if any, and wait until nothing does.

        Raises:
            WorkerError: If it does not stop; all are ended then.
        """
        ...

    def close(self) -> None:
        """End, as far as possible by asking."""
        ...

    def kill(self) -> None:
        """End now."""
        ...


def encode(message: Message) -> bytes:
    """Return the JSON form of a message."""
    body = {"version": VERSION, "kind": type(message).__name__, "body": asdict(message)}
    return json.dumps(body, allow_nan=False).encode()


def decode(text: bytes) -> Message:
    """Read the JSON form of a message.

    Raises:
        InvalidInputError: If it is of another version, of no known kind, or not as its kind
            has it.
    """
    try:
        values: Any = parse_json(text)
        version, kind, body = (values.pop(name) for name in ("version", "kind", "body"))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidInputError(f"message {excerpt(text[:40])}: none of this program") from error
    if type(version) is not int or version != VERSION or values:
        raise InvalidInputError(
            f"message of version {excerpt(repr(version))}: this FlashTalk uses {VERSION}; use one "
            "copy of it on all devices"
        )
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInputError(f"message {excerpt(repr(kind))}: no such kind")
    message: Message = read_plain(_KINDS[kind], body, f"message {kind}")
    return message
