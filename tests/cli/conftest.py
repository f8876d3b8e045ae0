"""Runs commands in this process, as typer's own runner does, in an environment that names one server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner

from letta_adapters import LettaClient
from letta_adapters.cli.app import app
from tests.conftest import Backend
from tests.contract.wire import Wire


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> tuple[int, str, str]:
        return self.code, self.out, self.err


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """`letta-adapters`, with these variables and no other LETTA_ ones."""

    variables: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, *arguments: str, said: str = "") -> Ended:
        unset = dict.fromkeys(("LETTA_BASE_URL", "LETTA_API_KEY", "LETTA_AGENT_ID"))
        environment: dict[str, Any] = {**unset, "COLUMNS": "200", "TZ": "UTC", **self.variables}
        done = CliRunner().invoke(app, list(arguments), input=said, env=environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(code=done.exit_code, out=done.stdout, err=done.stderr)


@pytest.fixture
def cli(backend: Backend) -> CommandLine:
    return CommandLine(variables={"LETTA_BASE_URL": backend.base_url})


@pytest.fixture
def client(backend: Backend) -> Iterator[LettaClient]:
    with LettaClient(base_url=backend.base_url) as opened:
        yield opened


@pytest.fixture
def wire(backend: Backend) -> Iterator[Wire]:
    with Wire(backend.base_url) as opened:
        yield opened
