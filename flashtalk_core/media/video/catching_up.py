"""The audio of a video that goes on, encoded again up to there, as its encoder adapts to it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from ...errors import require


class CatchingUp:
    """Skips audio in a thread of its own, which takes a minute for an hour of it."""

    def __init__(
        self,
        skip: Callable[[], int],
        stop: Callable[[], object],
        num_packets: int,
        num_frames: int,
    ) -> None:
        """Begin.

        Args:
            skip: Encodes and drops the audio, and returns the number of its packets.
            stop: Lets ``skip`` end soon.
            num_packets: Packets that the audio made before.
            num_frames: Frames of the video up to there.
        """
        self._skip = skip
        self._stop = stop
        self._num_packets = num_packets
        self._num_frames = num_frames
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the end.

        Raises:
            InvalidInputError: If the audio is not what it was.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End early; no audio can be encoded afterwards."""
        self._stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            found = self._skip()
            require(
                found == self._num_packets,
                f"the audio makes {found} packets up to frame {self._num_frames}, and made "
                f"{self._num_packets} before; it, or FFmpeg, changed. Start anew",
            )
        except Exception as error:  # the border of a thread
            self._failure = error
