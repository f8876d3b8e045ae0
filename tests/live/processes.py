"""Starts processes that outlive this one, and ends exactly those again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL = 0.05


@dataclass(frozen=True, kw_only=True)
class Row:
    """One living process of the system's list."""

    pid: int
    group: int
    command: str


def plain_environment(home: Path) -> dict[str, str]:
    """An environment with nothing of the user's in it: no keys of model providers, no proxies, no Python paths."""
    # The proxy is a closed port: what a server wants from the internet fails at once instead of after a time-out.
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "DO_NOT_TRACK": "1",
    }


def spawn(command: Sequence[str], *, cwd: Path, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session and process group of its own."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def last_lines(log: Path, count: int = 20) -> str:
    """The end of a log."""
    if not log.exists():
        return "(there is no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def living() -> list[Row]:
    """Every process of the system, without the dead ones that nobody has reaped yet."""
    # POSIX options, so that it works on Linux and macOS.
    columns = ["-o", "pid=", "-o", "pgid=", "-o", "stat=", "-o", "command="]
    table = subprocess.run(["ps", "-A", "-ww", *columns], check=True, capture_output=True, text=True, errors="replace")
    rows: list[Row] = []
    for line in table.stdout.splitlines():
        pid, group, state, *command = line.split(None, 3)
        if not state.startswith("Z"):
            rows.append(Row(pid=int(pid), group=int(group), command=command[0] if command else ""))
    return rows


def ours(groups: Iterable[int], marker: str) -> set[int]:
    """Those of the process groups that have a member with `marker` in its command line: numbers are used again."""
    wanted = set(groups)
    return {row.group for row in living() if row.group in wanted and marker in row.command}


def end_groups(groups: Iterable[int], marker: str, *, patience: float = 8.0) -> None:
    """End whole process groups: ask first, kill what is left after `patience` seconds.

    Raises:
        TimeoutError: Something is alive although it was killed.
    """
    left = ours(groups, marker)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in left:
            _signal_group(group, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(POLL)
            left &= {row.group for row in living()}
    if left:
        raise TimeoutError(f"these process groups do not end: {sorted(left)}")


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # It has ended by itself since we looked.
