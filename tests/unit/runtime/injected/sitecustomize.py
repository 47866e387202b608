"""Makes ranks of a fleet fail, on request: read by Python at the start of each of them.

A request is a file of JSON: which ``ranks``, ``at`` which chunk and step (or ``"start"``), and
what, an ``error`` to raise with a ``message`` or one of ``FAULTS``.
"""

import json
import os
import sys
from pathlib import Path

if sys.orig_argv[-2:-1] == ["flashtalk_core.runtime.worker"] and "RANK_FAULTS" in os.environ:
    import builtins
    import ctypes
    import signal
    import time

    import torch

    from flashtalk_core import errors
    from flashtalk_core.models.transformer.model import OutputHead
    from flashtalk_core.runtime.worker import meeting
    from flashtalk_core.runtime.worker.events import RankEvents

    RANK = json.loads(sys.orig_argv[-1])["rank"]
    REQUEST = Path(os.environ["RANK_FAULTS"])
    PLACES = (errors, torch, builtins)
    real_step, real_meet = RankEvents.step, meeting.meet

    def block(library):
        """Do not return from native code."""
        reading, _writing = os.pipe()
        library.read(reading, ctypes.create_string_buffer(1), 1)

    def block_with_lock():
        """Let no other thread of this process run Python meanwhile."""
        block(ctypes.PyDLL(None))

    def block_without_lock():
        block(ctypes.CDLL(None))

    def poison():
        """Let this rank's tokens be NaN while that is requested."""
        real_head = OutputHead.forward

        def head(*given):
            is_requested = REQUEST.exists() and '"poison"' in REQUEST.read_text()
            return real_head(*given) * (torch.nan if is_requested else 1)

        OutputHead.forward = head

    def be_another_version():
        rank = sys.modules["flashtalk_core.runtime.worker.rank"]
        rank.version = lambda _package: "9.0"

    def be_killed():
        os.kill(os.getpid(), signal.SIGKILL)

    def pause():
        """Take longer than a step may."""
        time.sleep(6)

    FAULTS = {
        each.__name__: each
        for each in (
            block_with_lock, block_without_lock, poison, be_another_version, be_killed, pause
        )
    }  # fmt: skip

    def fail(at):
        if not REQUEST.exists():
            return
        fault = json.loads(REQUEST.read_text())
        if RANK in fault["ranks"] and at == fault["at"]:
            if fault["error"] in FAULTS:
                FAULTS[fault["error"]]()
                return
            place = next(each for each in PLACES if hasattr(each, fault["error"]))
            raise getattr(place, fault["error"])(fault["message"])

    def step(self, number):
        real_step(self, number)
        fail([self.chunk, number + 1])

    def meet(*given):
        fail("start")
        return real_meet(*given)

    RankEvents.step, meeting.meet = step, meet
