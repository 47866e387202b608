"""Entry of ``python -m flashtalk_core``."""

import os
import sys

# Before torch is loaded: its threads otherwise spin while they wait for each other, and on a
# machine that does something else too a render becomes several times slower.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

from .cli.main import main

sys.exit(main())
