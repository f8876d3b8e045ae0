"""A double of a Letta server to try things on, until Ctrl-C: `python -m letta_adapters.testing`.

It prints what another terminal has to set, and holds one agent, whose scripted model calls a tool where it is offered
one, does what directives say (`letta_adapters.testing.script`), and echoes everything else.
"""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import suppress

from letta_adapters import LettaClient
from letta_adapters.testing.fake import FakeLetta
from letta_adapters.testing.model import EAGER


def main() -> None:
    """Serve until Ctrl-C."""
    argparse.ArgumentParser(
        prog="python -m letta_adapters.testing", description=__doc__, epilog="It takes no arguments."
    ).parse_args()
    with FakeLetta() as fake:
        with LettaClient(base_url=fake.base_url) as client:
            agent = client.agents.create(name="double", model=EAGER)
        print(f"export LETTA_BASE_URL={fake.base_url}\nexport LETTA_AGENT_ID={agent.id}", flush=True)
        print("Type these two lines into another terminal. Ctrl-C ends the double.", file=sys.stderr, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
