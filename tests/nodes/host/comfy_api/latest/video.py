"""Videos as they travel between nodes."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import torch


@dataclass
class VideoComponents:
    """Frames and audio in memory."""

    images: torch.Tensor
    audio: dict[str, Any] | None
    frame_rate: Fraction


class VideoInput:
    """What every video can be asked for; how it answers in memory is ComfyUI's default."""

    def get_active_trim_window(self):
        return 0.0, 0.0

    def get_frame_rate(self):
        return self.get_components().frame_rate

    def get_dimensions(self):
        images = self.get_components().images
        return images.shape[2], images.shape[1]

    def get_duration(self):
        return float(len(self.get_components().images) / self.get_frame_rate())


class VideoFromFile(VideoInput):
    """A file, or bytes in memory, of which a part may be chosen; newer ones know a crop."""

    def __init__(self, file, *, start_time=0.0, duration=0.0, crop=None):
        self.__file = file
        self.__start_time = start_time
        self.__duration = duration
        if crop is not None:
            self.__crop = crop

    def get_stream_source(self):
        return self.__file

    def get_active_trim_window(self):
        return float(self.__start_time), float(self.__duration)

    def get_components(self):
        x, y, width, height = getattr(self, "_VideoFromFile__crop", (0, 0, None, None))
        with av.open(self.__file) as container:
            rate = Fraction(container.streams.video[0].average_rate)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        images = torch.stack([torch.from_numpy(frame) for frame in frames]) / 255
        return VideoComponents(images[:, y:, x:][:, :height, :width], None, rate)


class VideoFromComponents(VideoInput):
    """Frames and audio in memory."""

    def __init__(self, components):
        self.__components = components

    def get_components(self):
        return self.__components

    def get_stream_source(self):
        raise AssertionError("encodes the whole video")


class Input:
    """Types for annotations."""

    Video = VideoInput


class InputImpl:
    """What videos are made of."""

    VideoFromFile = VideoFromFile
    VideoFromComponents = VideoFromComponents


class Types:
    """What videos hold."""

    VideoComponents = VideoComponents
