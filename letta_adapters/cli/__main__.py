"""`python -m letta_adapters.cli`, where the script is not on the path."""

from __future__ import annotations

import sys

from letta_adapters.cli import main

sys.exit(main())
