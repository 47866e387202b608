"""Entry of ``python -m flashtalk_training``."""

import sys

from flashtalk_core.cli.program import run_as_process
from flashtalk_core.cli.spinning import limit_spinning

from .cli.main import main

limit_spinning()  # torch is loaded by the command

sys.exit(run_as_process(main))
