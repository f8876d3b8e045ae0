"""Real Letta servers from the command line: `python -m tests.live.server start|stop|run`.

`start` boots one and leaves it running, `stop` ends what was started, `run -- COMMAND` gives a command one server with
Redis and one without, through these variables: LETTA_LIVE_URL, LETTA_LIVE_MODEL_URL, LETTA_LIVE_HANDLE,
LETTA_LIVE_NO_REDIS_URL and LETTA_LIVE_NO_REDIS_MODEL_URL.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from .boot import BootError, Record, names, start, stop
from .install import InstallError, ensure_installed

WITH_REDIS = "default"
WITHOUT_REDIS = "no-redis"
SUMMARY_PATIENCE = 15.0


def main() -> int:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    arguments = _arguments()
    try:
        if arguments.action == "start":
            return start_command(arguments.name, redis=not arguments.no_redis)
        if arguments.action == "stop":
            return stop_command(arguments.name)
        return run_command(arguments.command)
    except (BootError, InstallError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.live.server", description="Real Letta servers for tests.")
    actions = parser.add_subparsers(dest="action", required=True)
    start_parser = actions.add_parser("start", help="boot a server, print its URL and leave it running")
    start_parser.add_argument("--no-redis", action="store_true", help="without locks and background streams")
    start_parser.add_argument("--name", help=f"default: {WITH_REDIS}, or {WITHOUT_REDIS} with --no-redis")
    stop_parser = actions.add_parser("stop", help="end the processes that `start` started")
    stop_parser.add_argument("--name", help="default: every server of this checkout")
    run_parser = actions.add_parser("run", help="run a command with a server of each kind")
    run_parser.add_argument("command", nargs="+", metavar="COMMAND")
    return parser.parse_args()


def start_command(name: str | None, *, redis: bool) -> int:
    began = time.monotonic()
    record, is_new = start(name or (WITH_REDIS if redis else WITHOUT_REDIS), redis=redis)
    _say(f"Ready after {time.monotonic() - began:.1f} s." if is_new else "It is running already.")
    print(record.url)
    return 0


def stop_command(name: str | None) -> int:
    for each in [name] if name else names():
        _say(f"Stopped {each}." if stop(each) else f"There is no server {each}.")
    return 0


def run_command(command: Sequence[str]) -> int:
    with _both_servers() as (default, no_redis):
        variables = {
            "LETTA_LIVE_URL": default.url,
            "LETTA_LIVE_MODEL_URL": default.model_url,
            "LETTA_LIVE_HANDLE": default.handle,
            "LETTA_LIVE_NO_REDIS_URL": no_redis.url,
            "LETTA_LIVE_NO_REDIS_MODEL_URL": no_redis.model_url,
        }
        return _run_child(command, os.environ | variables)


@contextmanager
def _both_servers() -> Generator[tuple[Record, Record]]:
    """Find or boot both kinds at once; end those that were booted here, whatever happens."""
    # The two would wait for each other's build anyway, and here it can be interrupted.
    ensure_installed()
    cancelled = threading.Event()
    boots: list[Future[tuple[Record, bool]]] = []
    with ThreadPoolExecutor(2) as pool:
        try:
            for name, redis in ((WITH_REDIS, True), (WITHOUT_REDIS, False)):
                boots.append(pool.submit(start, name, redis=redis, cancelled=cancelled.is_set))
            records = [boot.result()[0] for boot in boots]
            yield records[0], records[1]
        finally:
            # From here on nothing may interrupt: what is not ended now stays.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            cancelled.set()
            ended = [boot for boot in boots if boot.exception() is None]
            list(pool.map(stop, [record.name for record, is_new in (boot.result() for boot in ended) if is_new]))


def _run_child(command: Sequence[str], environment: Mapping[str, str]) -> int:
    child = subprocess.Popen(command, env=environment)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        # The terminal has told the child too: it may finish what it has to say.
        _wait_or_end(child, SUMMARY_PATIENCE)
        raise
    except SystemExit:
        child.terminate()
        _wait_or_end(child, SUMMARY_PATIENCE)
        raise
    return code if code >= 0 else 128 - code


def _wait_or_end(child: subprocess.Popen[bytes], patience: float) -> None:
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
