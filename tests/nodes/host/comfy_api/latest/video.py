"""Videos as they travel between nodes."""


class VideoFromFile:
    """A file, or bytes in memory, of which a part may be chosen."""

    def __init__(self, file, *, start_time=0.0, duration=0.0):
        self._file = file
        self._window = float(start_time), float(duration)

    def get_stream_source(self):
        return self._file

    def get_active_trim_window(self):
        return self._window


class Input:
    """Types for annotations."""

    Video = VideoFromFile


class InputImpl:
    """What videos are made of."""

    VideoFromFile = VideoFromFile
