"""A terminal that keeps what is shown, and a clock that is set by hand."""

import io


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now_s = 100.0
    """Seconds."""

    def __call__(self):
        return self.now_s
