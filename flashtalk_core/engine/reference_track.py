"""Which prompt goes with which chunk."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..config import ChunkConfig
from ..geometry import ChunkSpan
from ..models.transformer.model import AvatarDiT
from ..placement.provider import Residency
from .reference import EncodedPortrait, Reference, project_reference
from .request import PromptChange


class ReferenceTrack:
    """One portrait under changing prompts.

    A prompt is projected when it begins and kept until the next one does: projections are large
    (0.6 GB at the full size), and a session goes forward.
    """

    def __init__(
        self,
        networks: Residency,
        portrait: EncodedPortrait,
        contexts: Sequence[Tensor],
        start_frames: Sequence[int],
        timesteps: Sequence[float] = (),
    ) -> None:
        """Project nothing yet.

        Args:
            networks: Lends the transformer.
            portrait: The encoded portrait.
            contexts: Encoded prompts, each ``(n, text_dim)``.
            start_frames: Frame of the video each of them begins at; the first is 0.
            timesteps: Those that steps will be taken at; see :func:`project_reference`.
        """
        assert len(contexts) == len(start_frames), (len(contexts), len(start_frames))
        assert start_frames[0] == 0, start_frames
        self._networks = networks
        self._portrait = portrait
        self._contexts = contexts
        self._start_frames = start_frames
        self._timesteps = timesteps
        self._projected: tuple[int, Reference] | None = None

    def at(self, span: ChunkSpan) -> Reference:
        """Return the reference of a chunk."""
        index = self.index_at(span)
        if self._projected is None or self._projected[0] != index:
            self._projected = None  # before the next one takes its memory
            with self._networks.use(AvatarDiT) as dit:
                reference = project_reference(
                    dit, self._portrait, self._contexts[index], self._timesteps
                )
            self._projected = index, reference
        return self._projected[1]

    def index_at(self, span: ChunkSpan) -> int:
        """Return which prompt a chunk has: a change happens at the nearest border of chunks."""
        middle = span.shown.start + len(span.shown) / 2
        return max(i for i, start in enumerate(self._start_frames) if not start or start <= middle)


def start_frames(changes: Sequence[PromptChange], chunk: ChunkConfig) -> list[int]:
    """Return the frame at which the first prompt and each later one begins."""
    return [0, *(max(1, round(change.start_s * chunk.frame_rate_hz)) for change in changes)]
