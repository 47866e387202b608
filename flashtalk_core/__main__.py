"""Entry of ``python -m flashtalk_core``."""

import os
import sys
import warnings

from .cli.main import main

if "--debug" not in sys.argv:
    # What libraries have to say to programmers is no answer to a user.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")

sys.exit(main())
