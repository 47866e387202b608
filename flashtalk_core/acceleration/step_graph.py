"""A denoising step as a CUDA graph.

A step of the full-size model takes 65 to 70 ms of one CPU core to launch, whatever its size. At
small sizes, and where several GPUs share the tokens, that is longer than the step itself.

Axis legend: B batch, T latent frames, A audio tokens a frame, N heads, D head dim.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from ..models.transformer.block import KeyValue
from ..models.transformer.layout import WHOLE
from ..models.transformer.step import (
    AudioContext,
    SessionContext,
    StepNetwork,
    TimeContext,
    run_step,
)
from .kernel_options import GraphMode
from .recording import (
    Addresses,
    Capture,
    Recording,
    capture,
    fixed_copies,
    is_recording,
    refill,
    report_failure,
)

_MOST_NUMBERS = 4_096 * 5_120
"""Tokens times width up to which ``auto`` records: on an H200 a step of 1,440 tokens takes 69 ms
eagerly and 52 as a graph, of 3,024 98 and 96, of 9,216 and more the same."""


def is_worth_recording(mode: GraphMode, num_tokens: int, width: int) -> bool:
    """Whether a step is recorded.

    Args:
        mode: What was requested.
        num_tokens: Tokens of the device that holds most.
        width: Of a token.
    """
    return mode == "on" or (mode == "auto" and num_tokens * width <= _MOST_NUMBERS)


class StepGraph:
    """A :class:`StepExecution` that replays the steps of a session; equal to eager to the bit.

    The recording reads weights and session where they are, and latent, timestep and audio from
    copies of its own. It serves one session at a time: another one, another size, or weights that
    were moved make a new one. Steps are launched one by one where a gradient is wanted, for two
    speakers, and after recording failed once on a device that computes alone; with others, what
    failed is raised.
    """

    def __init__(self, mode: GraphMode, capture: Capture = capture) -> None:
        """Record nothing yet.

        Args:
            mode: Which sizes are recorded.
            capture: Records; a stand-in in tests.
        """
        self._mode = mode
        self._capture = capture
        self._recorded: _RecordedStep | None = None
        self._has_failed = False

    def __call__(
        self,
        dit: StepNetwork,
        latent: Tensor,
        times: TimeContext,
        session: SessionContext,
        audio: AudioContext,
    ) -> Tensor:
        """See :class:`StepExecution`."""
        if self._can_record(dit, times, session, audio):
            try:
                return self._replay(dit, latent, times, session, audio)
            except Exception as error:  # whatever CUDA and kernels raise; out of memory, too
                self.release()
                if dit.layout is not WHOLE:
                    # Other devices are in the exchanges of this step: another attempt would
                    # exchange with the wrong layers of theirs.
                    raise
                self._has_failed = True
                report_failure("a denoising step", error)
        return run_step(dit, latent, times, session, audio)

    def release(self) -> None:
        """Free the memory of the recording; the next steps make another."""
        if self._recorded is not None:
            self._recorded = None
            torch.cuda.empty_cache()  # the memory of a graph serves nothing else until then

    def _can_record(
        self, dit: StepNetwork, times: TimeContext, session: SessionContext, audio: AudioContext
    ) -> bool:
        is_plain = audio.masks is None and not torch.is_grad_enabled() and not self._has_failed
        # A number that all devices share: they record the same steps.
        tokens, width = session.most_tokens, times[0].shape[-1]
        is_worth = dit.layout.recordable and is_worth_recording(self._mode, tokens, width)
        return is_plain and is_worth and not is_recording(session.rotation.device)

    def _replay(
        self,
        dit: StepNetwork,
        latent: Tensor,
        times: TimeContext,
        session: SessionContext,
        audio: AudioContext,
    ) -> Tensor:
        recorded = self._recorded
        if recorded is None or not recorded.serves(latent, session, audio):
            self.release()  # before the next one takes its memory
            recorded = _RecordedStep(dit, latent, times, session, audio, self._capture)
            self._recorded = recorded
        return recorded(dit, latent, times, session, audio)


class _RecordedStep:
    """The step of one session. Refers weakly to what the network and the caller own."""

    def __init__(
        self,
        dit: StepNetwork,
        latent: Tensor,
        times: TimeContext,
        session: SessionContext,
        audio: AudioContext,
        capture: Capture,
    ) -> None:
        self._session = weakref.ref(session)
        self._weights = Addresses(dit.modules())
        self._inputs = fixed_copies((latent, *times))
        self._audio = _FixedAudio(audio)
        self._recording = Recording(latent.device, capture)

    def serves(self, latent: Tensor, session: SessionContext, audio: AudioContext) -> bool:
        """Whether the recording computes the step for these."""
        held = self._inputs[0]
        is_same_size = (latent.shape, latent.dtype) == (held.shape, held.dtype)
        is_same = is_same_size and self._session() is session and self._audio.takes(audio)
        return is_same and not self._weights.have_changed()

    def __call__(
        self,
        dit: StepNetwork,
        latent: Tensor,
        times: TimeContext,
        session: SessionContext,
        audio: AudioContext,
    ) -> Tensor:
        refill(self._inputs, (latent, *times))
        self._audio.fill(audio)
        held, embedding, modulation = self._inputs
        fixed = self._audio.context
        return self._recording(lambda: run_step(dit, held, (embedding, modulation), session, fixed))


class _FixedAudio:
    """Keys and values of a chunk's audio, copied to where they stay.

    Each tensor is laid out as the original is: products of another layout round differently.
    """

    def __init__(self, audio: AudioContext) -> None:
        self._layouts = _layouts(audio)
        memories = _memories(audio)
        self._copies = dict(zip(memories, fixed_copies(list(memories.values())), strict=True))
        self.context = AudioContext(
            tuple((self._copy_of(keys), self._copy_of(values)) for keys, values in audio.blocks)
        )
        self._filled = weakref.ref(audio)

    def takes(self, audio: AudioContext) -> bool:
        """Whether ``audio`` has the layout of what is recorded."""
        return self._filled() is audio or _layouts(audio) == self._layouts

    def fill(self, audio: AudioContext) -> None:
        """Copy the keys and values of a chunk, once for all of its steps."""
        if self._filled() is not audio:
            refill(list(self._copies.values()), list(_memories(audio).values()))
            self._filled = weakref.ref(audio)

    def _copy_of(self, tensor: Tensor) -> Tensor:
        memory = self._copies[tensor.untyped_storage().data_ptr()]
        return memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _memories(audio: AudioContext) -> dict[int, Tensor]:
    """Return the whole memory that keys and values are views of, by its address, in order."""
    found: dict[int, Tensor] = {}
    for tensor in _tensors(audio):
        storage = tensor.untyped_storage()
        size = storage.nbytes() // tensor.element_size()
        found.setdefault(storage.data_ptr(), tensor.as_strided((size,), (1,), 0))
    return found


def _layouts(audio: AudioContext) -> list[tuple[object, ...]]:
    """Return all that matters of keys and values but the numbers and where they are."""
    order = {address: number for number, address in enumerate(_memories(audio))}
    found: list[tuple[object, ...]] = []
    for tensor in _tensors(audio):
        storage = tensor.untyped_storage()
        place = (order[storage.data_ptr()], storage.nbytes(), tensor.storage_offset())
        found.append((tensor.shape, tensor.stride(), tensor.dtype, *place))
    return found


def _tensors(audio: AudioContext) -> list[Tensor]:
    pairs: tuple[KeyValue, ...] = audio.blocks
    return [tensor for pair in pairs for tensor in pair]
