"""Entry of ``python -m flashtalk_core``."""

import sys

from .cli.main import main
from .cli.program import run_as_process

try:
    from .cli.spinning import limit_spinning
except ModuleNotFoundError:  # left out of the published pack
    pass
else:
    limit_spinning()  # torch is loaded by the command

sys.exit(run_as_process(main))
