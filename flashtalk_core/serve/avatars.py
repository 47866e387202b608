"""Portraits that are ready to speak: encoded, with their idle frames and what their chunks take."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from ..config.chunk import ChunkConfig
from ..engine.events import NO_EVENTS, RenderEvents
from ..engine.plan import Engine, RenderPlan
from ..engine.render import describe
from ..engine.request import AvatarRequest
from ..engine.state import FrameGroup
from ..errors import FlashTalkError, InvalidInputError, require
from ..live.audio.sound import LiveSound
from ..live.chunks import live_chunks
from ..live.decide import ChunkCost, Policy
from ..live.engine import LiveEngine, open_engine, prepare_idle
from ..live.idle import IdleLoop
from ..live.session import Job
from ..media.audio.source import SampleReader
from ..media.image.faces.detection import find_faces
from ..media.image.faces.framing import pick_face
from ..media.image.portrait import open_image

MAX_AVATARS = 8
"""Portraits that are kept ready beside those in use; the one used longest ago gives way."""


class Ear:
    """What the networks hear: the session whose chunk is drawn. One thread draws."""

    def __init__(self, nobody: SampleReader) -> None:
        """Hear ``nobody`` until somebody is drawn."""
        self.nobody = nobody
        self.current = nobody

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return samples; see :class:`SampleReader`."""
        return self.current.read(start_sample, stop_sample)


@dataclass(frozen=True, eq=False)
class Avatar:
    """A portrait with a prompt, ready to speak."""

    plan: RenderPlan
    engine: LiveEngine
    ear: Ear
    policy: Policy
    idle: IdleLoop
    costs: dict[int, ChunkCost]

    @property
    def note(self) -> str:
        """That its pictures are generated, and how."""
        return describe(self.plan)

    @property
    def factor(self) -> float:
        """Time of the longest chunk over its length; below 1 is faster than it is shown."""
        cost = self.costs[max(self.costs)]
        return cost.all_frames / cost.num_new

    @property
    def chunks(self) -> list[ChunkConfig]:
        """Lengths of its chunks, the shortest first."""
        return self.engine.chunks

    @property
    def fingerprint(self) -> str:
        """Of the states of its sessions."""
        return self.engine.fingerprint

    def drawer(self, sound: LiveSound) -> SessionDrawer:
        """Return what draws for a session with such sound."""
        return SessionDrawer(self, sound)


@dataclass(frozen=True)
class SessionDrawer:
    """Draws the chunks of one session with the networks that all share."""

    avatar: Avatar
    sound: LiveSound

    def draw(self, job: Job) -> Generator[FrameGroup, None, None]:
        """Yield the frames of a job; see :meth:`LiveEngine.draw`."""
        self.avatar.ear.current = self.sound
        try:
            yield from self.avatar.engine.draw(job)
        finally:
            self.avatar.ear.current = self.avatar.ear.nobody


@contextmanager
def open_avatar(
    engine: Engine,
    plan: RenderPlan,
    policy: Policy,
    chunk_frames: Sequence[int],
    between: Callable[[], object] = lambda: None,
    events: RenderEvents = NO_EVENTS,
) -> Iterator[Avatar]:
    """Encode a portrait, draw its idle frames, and measure what chunks take.

    Args:
        engine: Renders.
        plan: Of the portrait.
        policy: How its sessions are played.
        chunk_frames: Lengths of chunk that may be drawn, motion frames included, the shortest
            first.
        between: Called between the chunks that are drawn here, and the lengths that are opened.
        events: Receives loading, and the steps of all chunks.
    """
    chunks = live_chunks(plan.chunk, chunk_frames, policy.look_ahead)
    ear = Ear(LiveSound(chunk=chunks[-1]))
    with open_engine(engine, plan, ear, chunks, events, between) as opened:
        idle, costs = prepare_idle(opened, plan, policy, between=between)
        yield Avatar(plan, opened, ear, policy, idle, costs)


class Avatars:
    """Prepares portraits, and keeps the newest ready. For the thread that draws, but for find."""

    def __init__(
        self,
        plan: RenderPlan,
        engine: Engine,
        chunk_frames: Sequence[int] = (33,),
        face_detector: Path | None = None,
    ) -> None:
        """Prepare nothing yet.

        Args:
            plan: Of the server; what a session does not say is taken from it. All sessions have
                its model and placement: later the device is full of the networks themselves.
                Where its portrait was cropped to a face, those of clients are, too.
            engine: Renders.
            chunk_frames: Lengths of chunk that may be drawn, motion frames included.
            face_detector: File of the network that finds faces; ``None`` is OpenCV's own detector.
        """
        self._face_detector = face_detector
        self._plan = plan
        self._engine = engine
        self._chunk_frames = sorted(set(chunk_frames))
        self._ready: OrderedDict[str, tuple[Avatar, ExitStack]] = OrderedDict()
        self._used: dict[object, str] = {}
        self._lock = Lock()

    def plan(
        self, portrait: bytes | None = None, prompt: str | None = None, seed: int | None = None
    ) -> RenderPlan:
        """Check what a client wants, and return it as a plan; any thread.

        Raises:
            FlashTalkError: If the portrait or the prompt cannot be used.
        """
        request = self._plan.request
        if portrait is not None:
            request = self._with_image(request, _open_portrait(portrait))
        if prompt is not None:
            request = replace(request, prompt=prompt)
        if seed is not None:
            request = replace(request, sampling=replace(request.sampling, seed=seed))
        return replace(self._plan, request=request)

    def _with_image(self, request: AvatarRequest, image: Image) -> AvatarRequest:
        """Return a request for another portrait, framed as that of the server is."""
        if request.face is None:
            return replace(request, image=image)
        faces = find_faces(image, self._face_detector)
        require(
            bool(faces),
            "portrait: no face that looks into the camera was found in it, and this server crops "
            "to a face; send another, or one that is larger in the image",
            subject="portrait",
        )
        framing = self._plan.checkpoint.config.framing
        pick = pick_face(image, faces, request.size_px, framing)
        return replace(request, image=pick.crop(), face=pick)

    def hold(self, user: object, plan: RenderPlan, policy: Policy) -> None:
        """Keep a portrait as long as somebody uses it, from before it is prepared; any thread."""
        key = _key(plan, policy)
        with self._lock:
            self._used[user] = key

    def leave(self, user: object) -> None:
        """Note that somebody uses a portrait no longer; any thread."""
        with self._lock:
            self._used.pop(user, None)

    def find(self, plan: RenderPlan, policy: Policy) -> Avatar | None:
        """Return what is ready, ``None`` if it is to be prepared; any thread."""
        key = _key(plan, policy)
        with self._lock:
            found = self._ready.get(key)
            if found is not None:
                self._ready.move_to_end(key)
            return None if found is None else found[0]

    def prepare(
        self, plan: RenderPlan, policy: Policy, between: Callable[[], object] = lambda: None
    ) -> Avatar:
        """Encode a portrait and draw its idle frames, unless it is ready.

        Args:
            plan: Of :meth:`plan`.
            policy: Of the session.
            between: Called between the chunks that are drawn for it, and the lengths of chunk that
                it is encoded for.
        """
        found, key = self.find(plan, policy), _key(plan, policy)
        if found is not None:
            return found
        between()
        stack = ExitStack()
        opened = open_avatar(self._engine, plan, policy, self._chunk_frames, between)
        avatar = stack.enter_context(opened)
        with self._lock:
            self._ready[key] = avatar, stack
            used = {*self._used.values(), key}
            unused = [key for key in self._ready if key not in used]
            spare = max(0, len(self) - MAX_AVATARS)
            gone = [self._ready.pop(key) for key in unused[:spare]]
        for _, old in gone:
            old.close()
        return avatar

    def __len__(self) -> int:
        return len(self._ready)

    def close(self) -> None:
        """Release what was prepared."""
        with self._lock:
            gone, self._ready = list(self._ready.values()), OrderedDict()
        for _, stack in gone:
            stack.close()


def _key(plan: RenderPlan, policy: Policy) -> str:
    return f"{plan.fingerprint()} {policy}"


def _open_portrait(data: bytes) -> Image:
    """Return an image file that a client sent; it is read as any other file is."""
    with tempfile.TemporaryDirectory(prefix="flashtalk-") as folder:
        path = Path(folder) / "portrait"
        path.write_bytes(data)
        try:
            image = open_image(path)
            image.load()
        except FlashTalkError as error:  # where it lay here is nobody else's business
            raise InvalidInputError(str(error).replace(str(path), "portrait")) from error
        return image
