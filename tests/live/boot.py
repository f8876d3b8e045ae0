"""Boots one real Letta server on this machine, without Docker, and ends it.

A server is four processes on 127.0.0.1: PostgreSQL, Redis (unless it is to run without), the scripted model of
`model.py`, and Letta. What was started is written to `.server/NAME.json` in the project's directory as it happens, so
that `stop` also cleans up after a start that failed or was killed. The logs are in `.server/NAME-logs`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from .install import Installation, ensure_installed, locked
from .model import MODEL
from .processes import POLL, end_groups, last_lines, ours, plain_environment, spawn

BOOTSTRAP = Path(__file__).parent / "bootstrap.py"
ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / ".server"
BOOT_DEADLINE = 180.0


class BootError(Exception):
    """A server did not start; the text says what to look at."""


@dataclass(kw_only=True)
class Record:
    """What is known about one server; the file of it is what `stop` goes by."""

    name: str
    data: str
    redis: bool
    url: str
    model_url: str
    handle: str = f"vllm/{MODEL}"
    ready: bool = False
    pids: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def path(self) -> Path:
        return record_path(self.name)

    def log(self, process: str) -> Path:
        return RECORDS / f"{self.name}-logs" / f"{process}.log"

    def save(self) -> None:
        # Replaced in one go: whoever reads it sees the old or the new one.
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        draft.replace(self.path)


def record_path(name: str) -> Path:
    return RECORDS / f"{name}.json"


def load(name: str) -> Record | None:
    """The record of a server that was started and not stopped."""
    path = record_path(name)
    return Record(**json.loads(path.read_text())) if path.exists() else None


def names() -> list[str]:
    """The names of all servers of this checkout that were started and not stopped."""
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def start(name: str, *, redis: bool, cancelled: Callable[[], bool] = lambda: False) -> tuple[Record, bool]:
    """Boot a server, or find the one that runs under this name; also tells whether it was booted now.

    Raises:
        BootError: A process died, or the server was not healthy in time.
        InstallError: The server could not be built.
    """
    with locked(RECORDS / f"{name}.lock"):
        old = load(name)
        if old and old.ready and healthy(old):
            if old.redis != redis:
                raise BootError(f"{name} runs {'with' if old.redis else 'without'} Redis: stop it, or name another.")
            return old, False
        if old:
            _end(old)
        installation = ensure_installed()
        record = _new_record(name, redis=redis)
        try:
            _boot(record, installation, cancelled)
        except BaseException:
            _end(record)
            raise
        return record, True


def stop(name: str) -> bool:
    """End what `start` recorded under this name; tells whether there was anything."""
    with locked(RECORDS / f"{name}.lock"):
        record = load(name)
        if record:
            _end(record)
        return record is not None


def _end(record: Record) -> None:
    end_groups(record.pids.values(), record.data)
    shutil.rmtree(record.data, ignore_errors=True)
    record.path.unlink()


def healthy(record: Record) -> bool:
    """Whether every recorded process lives and both servers answer."""
    alive = ours(record.pids.values(), record.data) == set(record.pids.values())
    urls = (f"{record.url}/v1/health/", f"{record.model_url}/v1/models")
    # Patient, because a busy server stalls for seconds, and one that is not healthy is ended.
    return alive and all(_answers(url, timeout=30) for url in urls)


def _answers(url: str, *, timeout: float = 5) -> bool:
    try:
        # Not through a proxy that the environment may name: this is the loopback.
        return httpx.get(url, timeout=timeout, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _new_record(name: str, *, redis: bool) -> Record:
    letta, model = _free_ports(2)
    # Short and temporary, because a unix socket goes in there.
    data = Path(tempfile.mkdtemp(prefix="la-"))
    record = Record(
        name=name,
        data=str(data),
        redis=redis,
        url=f"http://127.0.0.1:{letta}",
        model_url=f"http://127.0.0.1:{model}",
    )
    record.save()
    # PostgreSQL runs as another user when this is root.
    data.chmod(0o711)
    for directory in ("home", "tmp"):
        (data / directory).mkdir()
    logs = record.log("letta").parent
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    return record


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _boot(record: Record, installation: Installation, cancelled: Callable[[], bool]) -> None:
    booting = _Booting(record=record, cancelled=cancelled)
    data = Path(record.data)
    go = data / "go"
    redis_port = _free_ports(1)[0]
    bootstrap = [str(installation.python), str(BOOTSTRAP)]
    environment = _letta_environment(record, redis_port)
    # Letta first: it takes the longest, most of it importing, and waits for `go` before it needs the others.
    serve = [*bootstrap, "serve", "--port", record.url.rpartition(":")[2], "--go", str(go)]
    booting.spawn("letta", serve, cwd=data, environment=environment)
    postgres = [*bootstrap, "postgres", "--template", str(installation.template), "--data", str(data / "pg")]
    booting.spawn("postgres", postgres, cwd=data, environment=environment)
    if record.redis:
        booting.spawn("redis", _redis_command(installation, redis_port, data), cwd=data, environment=environment)
    model = [sys.executable, "-m", "tests.live.model", "--port", record.model_url.rpartition(":")[2]]
    booting.spawn("model", [*model, "--owner", str(data)], cwd=ROOT, environment=dict(os.environ))

    booting.wait_until("PostgreSQL", lambda: _postgres_ready(data / "pg"))
    booting.wait_until("Redis", lambda: not record.redis or _listens(redis_port))
    booting.wait_until("The model", lambda: _answers(f"{record.model_url}/v1/models"))
    go.touch()
    booting.wait_until("Letta", lambda: _answers(f"{record.url}/v1/health/"))
    record.ready = True
    record.save()


@dataclass(kw_only=True)
class _Booting:
    """The processes of a server that is not up yet."""

    record: Record
    cancelled: Callable[[], bool]
    deadline: float = field(default_factory=lambda: time.monotonic() + BOOT_DEADLINE)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])

    def spawn(self, name: str, command: list[str], *, cwd: Path, environment: dict[str, str]) -> None:
        process = spawn(command, cwd=cwd, environment=environment, log=self.record.log(name))
        self.processes[name] = process
        self.record.pids[name] = process.pid
        self.record.save()

    def wait_until(self, what: str, ready: Callable[[], bool]) -> None:
        while not ready():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise BootError(f"{name} ended with {process.returncode}.\n{self._tail(name)}")
            if self.cancelled():
                raise BootError("The start was cancelled.")
            if time.monotonic() > self.deadline:
                tails = "\n".join(map(self._tail, self.processes))
                raise BootError(f"{what} was not ready after {BOOT_DEADLINE:.0f} s.\n{tails}")
            time.sleep(POLL)

    def _tail(self, name: str) -> str:
        log = self.record.log(name)
        return f"The end of {log}:\n{last_lines(log)}"


def _redis_command(installation: Installation, port: int, data: Path) -> list[str]:
    settings = {"port": port, "bind": "127.0.0.1", "dir": data, "appendonly": "no"}
    # Redis would rewrite its command line, and with it the directory by which `stop` knows it.
    settings["set-proc-title"] = "no"
    command = [str(installation.redis_server), "--save", ""]
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    return command


def _letta_environment(record: Record, redis_port: int) -> dict[str, str]:
    data = Path(record.data)
    environment = plain_environment(data / "home") | {
        "TMPDIR": str(data / "tmp"),
        "LETTA_PG_URI": f"postgresql://postgres@/postgres?host={data / 'pg'}&user=postgres&ssl=disable",
        "LETTA_DISABLE_TRACING": "true",
        "VLLM_API_BASE": f"{record.model_url}/v1",
        "SGLANG_API_BASE": record.model_url,
    }
    # Two thirds of what a turn costs the machine otherwise: a connection to the database for every query, and a reading
    # of all the web's certificates for every call of the model.
    environment |= {
        "LETTA_DISABLE_SQLALCHEMY_POOLING": "false",
        "LETTA_POOL_PRE_PING": "false",
        "SSL_CERT_DIR": str(data / "tmp"),
    }
    if record.redis:
        environment |= {"LETTA_REDIS_HOST": "127.0.0.1", "LETTA_REDIS_PORT": str(redis_port)}
    return environment


def _postgres_ready(cluster: Path) -> bool:
    state = cluster / "postmaster.pid"
    return state.exists() and state.read_text().rstrip().endswith("ready")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
