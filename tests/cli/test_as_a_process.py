"""The script itself: installed, without its extra, interrupted, in a pipe, at a terminal; and no key in sight."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from letta_adapters import LettaClient
from letta_adapters.testing import FakeLetta
from letta_adapters.version import __version__
from letta_adapters.wire import AssistantMessage, text_of
from tests.cli.conftest import CommandLine
from tests.hostile.server import Peer, document, serve

KEY = "sk-let-0123456789abcdefghij"
SCRIPT = [sys.executable, "-m", "letta_adapters.cli"]


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LETTA_")}
    return {**clean, "COLUMNS": "200", "TERM": "dumb", **variables}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SCRIPT, *arguments], env=environment(**variables), capture_output=True, text=True, check=False, timeout=100
    )


def test_the_script_is_installed_and_its_errors_are_codes() -> None:
    script = os.path.join(os.path.dirname(sys.executable), "letta-adapters")
    done = subprocess.run(
        [script, "settle", "conv-1"], env=environment(), capture_output=True, text=True, check=False, timeout=100
    )

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("AuthenticationError: There is no key for Letta Cloud, so nothing was sent.")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from letta_adapters.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The command line needs typer and rich: pip install 'letta-adapters[cli]'\n"


def test_another_module_that_is_missing_is_no_matter_of_the_extra() -> None:
    code = "import sys; sys.modules['pydantic_core'] = None; from letta_adapters.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)

    assert "letta-adapters[cli]" not in done.stderr
    assert "pydantic_core" in done.stderr


def test_the_version_is_told() -> None:
    assert CommandLine()("--version").result == (0, f"{__version__}\n", "")


@pytest.fixture
def long_talk() -> Iterator[tuple[FakeLetta, str]]:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        talk = client.conversations.create(agent_id=client.agents.create(name="ann").id).id
        client.conversations.messages.create(talk, input=f"{'much ' * 50_000}[[say ok]]").result()
        yield fake, talk


def test_a_reader_that_has_enough_is_no_error(long_talk: tuple[FakeLetta, str]) -> None:
    fake, talk = long_talk
    process = subprocess.Popen(
        [*SCRIPT, "export", talk, "--jsonl"],
        env=environment(LETTA_BASE_URL=fake.base_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    process.wait(100)


class Terminal:
    """A person at a terminal: what stands there is read as it comes, lines and keys are typed in."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._near, far = pty.openpty()
        self.process = subprocess.Popen(
            [*SCRIPT, *arguments],
            env=environment(**variables),
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)
        self._unread = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._near)

    def wait_for(self, text: str) -> None:
        """Read until this stands there, behind what was waited for before."""
        while text not in self._unread:
            self._unread += os.read(self._near, 65536).decode(errors="replace")
        self._unread = self._unread.partition(text)[2]

    def type(self, text: str) -> None:
        os.write(self._near, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, which the terminal would send to the group in front."""
        self.process.send_signal(signal.SIGINT)

    def interrupted(self) -> int:
        """What it ends with. Python misses a Ctrl-C that comes just before a read begins; people press it again."""
        for _ in range(10):
            self.interrupt()
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(6)
        raise AssertionError("it goes on after ten times Ctrl-C")


def answers(client: LettaClient, agent_id: str) -> list[str]:
    """What the agent said in its only conversation."""
    (talk,) = client.conversations.list(agent_id=agent_id)
    rows = client.conversations.messages.list(talk.id, order="asc")
    return [text_of(row.content) for row in rows if isinstance(row, AssistantMessage)]


def test_at_a_terminal_an_error_is_survived_and_an_answer_can_be_left() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent_id = client.agents.create(name="ann").id
        with Terminal("chat", agent_id, LETTA_BASE_URL=fake.base_url) as terminal:
            terminal.wait_for("you> ")
            terminal.type("[[fail 500]]\n")
            terminal.wait_for("TurnFailed")
            terminal.wait_for("you> ")
            terminal.type("[[hold half 2]] [[say one two three]]\n")
            terminal.wait_for("agent    one two")
            terminal.interrupt()
            terminal.wait_for("goes on at the server")
            fake.open_gate("half")
            terminal.wait_for("you> ")
            terminal.type("[[say bye]]\n")
            terminal.wait_for("agent    bye")
            terminal.wait_for("you> ")
            terminal.type("\x04")
            code = terminal.process.wait(60)
        said = answers(client, agent_id)

    assert (code, said) == (0, ["one two three", "bye"])


def test_ctrl_c_at_the_prompt_ends_it() -> None:
    with FakeLetta() as fake, LettaClient(base_url=fake.base_url) as client:
        agent_id = client.agents.create(name="ann").id
        with Terminal("chat", agent_id, LETTA_BASE_URL=fake.base_url) as terminal:
            terminal.wait_for("you> ")
            assert terminal.interrupted() == 130


@pytest.mark.parametrize(
    "command",
    [
        ("settle", "conv-1"),
        ("settle", "conv-1", "--json"),
        ("history", "conv-1"),
        ("export", "conv-1", "--jsonl"),
        ("chat", "agent-1"),
        ("prune", "agent-1", "--json"),
        ("doctor", "agent-1"),
        ("demo", "agent-1"),
    ],
)
def test_a_key_that_a_server_repeats_is_not_shown(command: tuple[str, ...]) -> None:
    def refuse(peer: Peer) -> None:
        peer.send(document({"detail": f"{peer.header('authorization')} may not do this"}, "403 Forbidden"))

    with serve(refuse) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url, "LETTA_API_KEY": KEY})(*command)
    assert ended.code == 4
    assert "may not do this" in ended.out + ended.err
    assert KEY[7:] not in ended.out + ended.err


def test_a_key_that_a_server_calls_its_version_is_not_shown() -> None:
    def answer(peer: Peer) -> None:
        key = str(peer.header("authorization")).removeprefix("Bearer ")
        peer.send(document({"version": key} if peer.path == "/v1/health/" else [], date=key))

    with serve(answer) as server:
        ended = CommandLine(variables={"LETTA_BASE_URL": server.base_url, "LETTA_API_KEY": KEY})("doctor")
    assert "Letta ***, which this package was not tested with." in ended.out
    assert KEY[7:] not in ended.out + ended.err


def test_an_address_with_a_password_is_not_repeated() -> None:
    ended = CommandLine(variables={"LETTA_BASE_URL": "http://ann:pa55word@localhost"})("settle", "conv-1")

    assert ended.code == 2
    assert "pa55word" not in ended.err


def test_an_error_that_nobody_expected_shows_no_values() -> None:
    code = (
        "import letta_adapters.cli.settle as module\n"
        "def connected(*_, **__): key = 'sk-let-hidden'; raise RuntimeError('oops')\n"
        "module.connected = connected\n"
        "from letta_adapters.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-", "settle", "conv-1"], input=code, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 1
    assert "RuntimeError: oops" in done.stderr
    assert "hidden" not in done.stderr
