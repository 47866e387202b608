"""Has rendered once, and with that imported all that a render does: others are forked from it."""

import contextlib
import os
from tempfile import TemporaryDirectory

from flashtalk_core.cli.main import main
from tests.faults.child import QUICK
from tests.faults.threads import wait_until_alone

with (
    TemporaryDirectory() as folder,
    open(os.devnull, "w") as nowhere,  # noqa: PTH123
    contextlib.redirect_stderr(nowhere),
):
    main(["render", *QUICK, "--duration", "0.2", "-o", f"{folder}/first.mp4"])
wait_until_alone()
