"""Live sound: utterances that grow, end and are cleared, and their places among the frames.

Axis legend: C channels, n samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from ...config.chunk import ChunkConfig
from ...errors import require
from ...media.audio.source import MAX_CHANNELS, Block, check_rate
from .framer import AudioFormat, Framer, SoundFrame
from .gate import Gate
from .growing import GrowingAudio
from .utterance import Played, Utterance, check_block

MAX_WAITING_S = 60
"""Sound that may wait to be played."""


class LiveSound:
    """Sound that is pushed while it is played; an :class:`AudioSource`, and a ``SampleReader``.

    Frames of 40 ms get places, one after the other: frame ``n`` of the session is shown with the
    sound at ``n``, and the model reads what was placed, zeros where nothing is. As an
    ``AudioSource`` it is all that was pushed, whatever became of it. Methods may be called by any
    thread; ``lock`` is held by those who need several calls to be one.
    """

    identity = "live"

    def __init__(
        self,
        rate_hz: int = 16_000,
        channels: int = 1,
        *,
        layout: str = "",
        chunk: ChunkConfig | None = None,
        gate: Gate | None = None,
        name: str = "live",
    ) -> None:
        """Begin with silence.

        Args:
            rate_hz: Samples a second of what is pushed.
            channels: Of what is pushed.
            layout: FFmpeg's name of their layout; empty where there is none.
            chunk: Arithmetic of the model; ``None`` is the default one.
            gate: Turns what is no speech into silence; of a microphone. ``None`` lets all through.
            name: What errors call it.

        Raises:
            InvalidInputError: If such audio cannot be played in step with frames.
        """
        chunk = chunk or ChunkConfig()
        self.name, self.rate_hz, self.channels, self.layout = name, rate_hz, channels, layout
        check_rate(self, rate_hz)
        require(
            1 <= channels <= MAX_CHANNELS,
            f"audio {name}: {channels} channels; need 1 to {MAX_CHANNELS}, mix it down first",
        )
        require(
            rate_hz % chunk.frame_rate_hz == 0,
            f"audio {name}: {rate_hz} samples a second are no multiple of {chunk.frame_rate_hz} "
            "frames; send it at 16000, 24000, 44100 or 48000",
        )
        self.lock = RLock()
        self.format = AudioFormat(
            rate_hz, channels, layout, chunk.frame_rate_hz, chunk.sample_rate_hz
        )
        self._gate = gate
        self._all = GrowingAudio(
            name, rate_hz, channels, layout, max_samples=MAX_WAITING_S * rate_hz
        )
        self._kept_frames = chunk.audio_context_frames + chunk.num_frames
        self._open: deque[Utterance] = deque()
        self.last_number = 0
        """Number of the utterance that began last; 0 before the first."""
        self._dropped: int | None = None
        self._is_dropping = False
        self._placed: dict[int, tuple[SoundFrame, Utterance | None]] = {}
        self._stop = 0
        self._played: list[Played] = []
        self.num_pushes = 0
        """Calls of :meth:`push` that brought sound, after the gate."""

    def __str__(self) -> str:
        return self.name

    # Writing

    def push(self, samples: Block, utterance: int | None = None) -> None:
        """Append sound.

        Args:
            samples: ``(C, n)`` float32, full scale at 1; ``n`` may be anything.
            utterance: Number of the utterance it belongs to, higher than those before; ``None``
                is the one that has not ended, or else a new one. What belongs to an utterance
                that has ended or was cleared is dropped.

        Raises:
            InvalidInputError: If it has another shape or dtype or holds NaN, or if more sound waits
                than :data:`MAX_WAITING_S`; nothing of it was taken then.
        """
        check_block(self, samples, self.channels)
        samples = samples.copy()
        with self.lock:
            self._check_room(samples.shape[1])
            self._all.append(samples)
            if self._gate is None:
                self._append(samples, utterance)
                return
            for part in self._gate.process(samples):
                if part is None:
                    self.end()
                else:
                    self._append(part, utterance)

    def end(self) -> None:
        """End the utterance: silence follows, and nothing is waited for."""
        with self.lock:
            self._is_dropping = False
            if not self._open or self._open[-1].is_ended:
                return
            utterance = self._open[-1]
            self._take(utterance, utterance.framer.finish())
            utterance.is_ended = True
            self._note_finished(utterance)

    def close(self) -> None:
        """Say that nothing is pushed any more."""
        self.end()
        self._all.close()

    def clear(self, at: int) -> None:
        """Forget the sound of all utterances from frame ``at`` on, the first that did not leave.

        Each utterance that had not left whole is reported by :meth:`take_played`, and what is
        still pushed to the last one is dropped until it ends.
        """
        with self.lock:
            if not self._open:
                return
            cut, _ = self._placed.get(at, (None, None))
            self._placed = {frame: found for frame, found in self._placed.items() if frame < at}
            if cut is not None:
                self._placed[at] = cut.faded_out(self.rate_hz), None
            self._stop = min(self._stop, at)
            self._is_dropping = not self._open[-1].is_ended
            self._dropped = self._open[-1].number
            for utterance in self._open:
                self._played.append(utterance.report(self.rate_hz, interrupted=True))
            self._open.clear()

    # Places

    @property
    def stop(self) -> int:
        """Frame after the last that has sound; 0 before the first."""
        return self._stop

    @property
    def waiting_frames(self) -> int:
        """Whole frames of the next utterance, or the rest of a stalled one, without a place."""
        found = self._unplaced()
        return 0 if found is None or found.is_attached else len(found.waiting)

    @property
    def waiting_s(self) -> float:
        """Sound that has not left, seconds; at most :data:`MAX_WAITING_S`."""
        with self.lock:
            frames = sum(len(one.waiting) + one.num_placed for one in self._open)
        return frames / self.format.frame_rate_hz

    @property
    def is_waiting_whole(self) -> bool:
        """Whether what waits for a place is all there is of its utterance."""
        found = self._unplaced()
        return found is not None and found.is_ended

    @property
    def may_grow(self) -> bool:
        """Whether sound that arrives now gets the place at :attr:`stop`."""
        found = self._unplaced()
        return found is not None and found.is_attached

    @property
    def speaking(self) -> int | None:
        """Number of the utterance whose sound leaves or waits; ``None`` in silence."""
        return self._open[0].number if self._open else None

    def attach(self, first: int) -> None:
        """Place what waits, and all that still comes, from frame ``first`` on."""
        found = self._unplaced()
        assert found is not None, "nothing waits for a place"
        assert first >= self._stop, (first, self._stop)
        self._stop = first
        found.is_attached = True
        self._place(found)

    def detach(self) -> None:
        """Let what still comes of a stalled utterance wait for a place of its own."""
        found = self._unplaced()
        if found is not None:
            found.is_attached = False

    # Reading

    def read(self, start_sample: int, stop_sample: int) -> NDArray[np.float32]:
        """Return what the model hears; see ``SampleReader``. Whole frames, at most 8 s back."""
        step = self.format.heard_samples
        assert start_sample % step == stop_sample % step == 0, (start_sample, stop_sample)
        silence = np.zeros(step, np.float32)
        with self.lock:
            frames = range(start_sample // step, stop_sample // step)
            found = (self._placed.get(frame) for frame in frames)
            return np.concatenate([silence if one is None else one[0].heard for one in found])

    def at(self, frame: int) -> int | None:
        """Return the number of the utterance that sounds at a frame; ``None`` in silence."""
        with self.lock:
            _, utterance = self._placed.get(frame, (None, None))
            return None if utterance is None else utterance.number

    def leave(self, frame: int) -> Block:
        """Return what is played with a frame, ``(C, n)``, and count it; each frame once."""
        with self.lock:
            self._placed.pop(frame - self._kept_frames, None)
            if frame + 1 >= self._stop:
                self.detach()  # the place of what still comes would have left already
            sound, utterance = self._placed.get(frame, (None, None))
            if utterance is not None:
                assert sound is not None
                utterance.num_placed -= 1
                utterance.samples_played += sound.num_samples
                self._note_finished(utterance)
            if sound is None:
                return np.zeros((self.channels, self.format.played_samples), np.float32)
            return sound.played

    def take_played(self) -> list[Played]:
        """Return the reports since the last call, in the order of the utterances."""
        with self.lock:
            found, self._played = self._played, []
            return found

    # An audio source

    @property
    def num_samples(self) -> int | None:
        """Samples that were pushed; ``None`` until :meth:`close`."""
        return self._all.num_samples

    def has_sample(self, index: int) -> bool:
        """Wait until it is known whether a sample ``index`` was pushed, and return it."""
        return self._all.has_sample(index)

    def blocks(self) -> Iterator[Block]:
        """Yield all that is pushed as it arrives; see :meth:`GrowingAudio.blocks`."""
        return self._all.blocks()

    # Parts

    def _check_room(self, num_samples: int) -> None:
        seconds = self.waiting_s + num_samples / self.rate_hz
        require(
            seconds <= MAX_WAITING_S,
            f"audio {self}: {seconds:.1f} s would wait to be played; at most {MAX_WAITING_S} s "
            "may, send the rest when some of it has left",
        )

    def _append(self, samples: Block, number: int | None) -> None:
        if number is not None and self._dropped is not None and number <= self._dropped:
            return
        if number is None and self._is_dropping:
            return
        if not samples.shape[1]:
            return
        current = self._open[-1] if self._open and not self._open[-1].is_ended else None
        if current is None or (number is not None and number > current.number):
            if number is not None and number <= self.last_number:
                return  # of an utterance that has ended
            self.end()
            current = Utterance(number or self.last_number + 1, Framer(self.format))
            self.last_number = current.number
            self._open.append(current)
        elif number is not None and number < current.number:
            return
        self.num_pushes += 1
        self._take(current, current.framer.process(samples))

    def _take(self, utterance: Utterance, frames: Iterator[SoundFrame]) -> None:
        utterance.waiting.extend(frames)
        if utterance.is_attached:
            self._place(utterance)

    def _place(self, utterance: Utterance) -> None:
        while utterance.waiting:
            self._placed[self._stop] = utterance.waiting.popleft(), utterance
            utterance.num_placed += 1
            self._stop += 1

    def _unplaced(self) -> Utterance | None:
        return next((one for one in self._open if not one.is_placed), None)

    def _note_finished(self, utterance: Utterance) -> None:
        if utterance.is_placed and not utterance.num_placed:
            self._open.remove(utterance)
            self._played.append(utterance.report(self.rate_hz, interrupted=False))
