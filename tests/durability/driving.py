"""Drive the program from a test: let its processes run, kill them, wait for what they tell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Any, cast

from typing_extensions import Self

from tests.durability.program import Job
from tests.durability.relay import Passed, Point, Relay

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """Something that happened: `event` as the program or the relay names it."""

    event: str
    fields: dict[str, Any]


class Program:
    """The program, warm, with the relay between it and its server."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self._told: Queue[Told] = Queue()
        self._relay = Relay(upstream, tell=self._of_relay)
        self._warm: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, name="program-output", daemon=True)
        self._process = 0

    def __enter__(self) -> Self:
        self._relay.__enter__()
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.durability.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
        self._reader.start()
        self.wait_for("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._warm is not None
        if self._process:
            os.kill(self._process, signal.SIGKILL)
        self._input.close()
        self._warm.wait()
        self._reader.join()
        self._output.close()
        self._relay.__exit__(kind, error, trace)

    @property
    def base_url(self) -> str:
        """Where the program finds its server."""
        return self._relay.base_url

    @property
    def _input(self) -> IO[str]:
        assert self._warm is not None
        return cast("IO[str]", self._warm.stdin)

    @property
    def _output(self) -> IO[str]:
        assert self._warm is not None
        return cast("IO[str]", self._warm.stdout)

    def start(self, job: Job, *, point: Point | None = None) -> list[Passed]:
        """Start a process; gives the list that tells what passes between it and the server."""
        self._clear_away()
        passed = self._relay.begin(point)
        self._input.write(job.line())
        self._input.flush()
        self._process = int(self.wait_for("started")["process"])
        return passed

    def finish(self) -> None:
        """Wait until the process is through; it fails the test when the process fails."""
        self.wait_for("done")
        assert self._ended() == 0

    def fail(self) -> str:
        """Wait until the process gives up; gives its error."""
        error = str(self.wait_for("failed")["error"])
        self._ended()
        return error

    def run(self, job: Job) -> list[Passed]:
        """Let a process do a whole job."""
        passed = self.start(job)
        self.finish()
        return passed

    def kill(self) -> None:
        """Kill the process, which is in the middle of its work, with SIGKILL."""
        os.kill(self._process, signal.SIGKILL)
        assert self._ended() == -signal.SIGKILL
        self._relay.begin()  # the connections that it held are closed before anybody else is started

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait until something happens; what is known of other things that happen first is dropped.

        Raises:
            AssertionError: The process ended or failed first, or it takes too long.
        """
        while True:
            try:
                told = self._told.get(timeout=_PATIENCE)
            except Empty:
                raise AssertionError(f"{event!r} never came") from None
            if told.event == event:
                return told.fields
            if told.event in ("failed", "done", "ended"):
                if told.event == "ended":
                    self._process = 0
                else:
                    self._ended()
                raise AssertionError(f"{told.event!r} came before {event!r}: {told.fields.get('traceback', '')}")

    def _clear_away(self) -> None:
        """End what a test that failed has left behind."""
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            self._ended()
        while not self._told.empty():
            self._told.get()

    def _ended(self) -> int:
        status = int(self.wait_for("ended")["status"])
        self._process = 0
        return status

    def _of_relay(self, event: str, passed: Passed) -> None:
        self._told.put(Told(event=event, fields={"passed": passed}))

    def _read(self) -> None:
        for line in self._output:
            told = json.loads(line)
            self._told.put(Told(event=told.pop("event"), fields=told))
