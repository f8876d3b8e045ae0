"""Cassettes: a YAML file for each test module, with the exchanges of each of its scenarios.

JSON is laid out as YAML, a stream is the lines that were sent. What comes again is written once: YAML's anchors stand
for it. Of the uuids that `Names` gives only the number is written.
"""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import yaml

from tests.recorded.exchange import JSON, Exchange
from tests.recorded.names import ROOT

CASSETTES = Path(__file__).parents[2] / "cassettes"
SCENARIOS = Path(__file__).parents[1] / "contract"

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built

SHARED = 120
"""How long a part has to be to be written once, in characters of JSON."""

_UUID = re.compile(str(UUID(int=ROOT))[:24] + "0{1,11}([1-9a-f][0-9a-f]*)")

Recordings = dict[str, list[Exchange]]
"""A module's exchanges, by scenario."""


def cassette_of(module: Path) -> Path:
    """The cassette of a test module."""
    name = module.relative_to(SCENARIOS).with_suffix(".yaml")
    return CASSETTES / name.with_name(name.name.removeprefix("test_"))


def module_of(cassette: Path) -> Path:
    """The test module of a cassette."""
    name = cassette.relative_to(CASSETTES).with_suffix(".py")
    return SCENARIOS / name.with_name(f"test_{name.name}")


@cache
def recordings(path: Path) -> Recordings:
    """Read a cassette; one that is missing has no scenario."""
    if not path.is_file():
        return {}
    text = re.sub(r"uuid-([0-9a-f]+)", _uuid, path.read_text(encoding="utf-8"))
    written = yaml.load(text, Loader=_Loader)
    return {name: [_read(one) for one in exchanges] for name, exchanges in written.items()}


def write(path: Path, recorded: Recordings) -> None:
    """Write a cassette, scenarios in order of their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(recorded), encoding="utf-8")


def text_of(recorded: Recordings) -> str:
    """A cassette as YAML."""
    once: dict[str, Any] = {}
    told = {name: [_shared(_told(one), once) for one in recorded[name]] for name in sorted(recorded)}
    text = yaml.dump(told, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000, default_flow_style=None)
    return _UUID.sub(r"uuid-\1", text)


def _uuid(number: re.Match[str]) -> str:
    return str(UUID(int=ROOT + int(number[1], 16)))


class _Dumper(yaml.SafeDumper):
    """YAML for readers: a text of several lines is a literal block, and what comes again is named by what it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return len(_spelled(data)) < SHARED

    def represent_text(self, data: str) -> yaml.ScalarNode:
        return yaml.ScalarNode("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    def generate_anchor(self, node: yaml.Node) -> str:
        return f"same-{sha256(repr(node).encode()).hexdigest()[:8]}"


_Dumper.add_representer(str, _Dumper.represent_text)


def _shared(value: Any, once: dict[str, Any]) -> Any:
    """Build a value anew out of parts that are the same object wherever they are equal: YAML writes these once."""
    if isinstance(value, dict):
        value = {name: _shared(one, once) for name, one in cast("dict[str, Any]", value).items()}
    elif isinstance(value, list):
        value = [_shared(one, once) for one in cast("list[Any]", value)]
    return once.setdefault(_spelled(value), value)


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _told(exchange: Exchange) -> dict[str, Any]:
    call, body = _cut(exchange.request)
    request: dict[str, Any] = {"request": call}
    if body:
        request["body"] = json.loads(body)
    if exchange.type != JSON:
        return {**request, "status": exchange.status, "type": exchange.type, "answer": exchange.answer}
    return {**request, "status": exchange.status, "answer": json.loads(exchange.answer)}


def _read(told: dict[str, Any]) -> Exchange:
    body = [json.dumps(told["body"], ensure_ascii=False, sort_keys=True)] if "body" in told else []
    kind = cast("str", told.get("type", JSON))
    answer = told["answer"] if kind != JSON else json.dumps(told["answer"], ensure_ascii=False)
    return Exchange(request=" ".join([told["request"], *body]), status=told["status"], type=kind, answer=answer)


def _cut(request: str) -> tuple[str, str]:
    """Take a request apart: method and path, and the body if there is one."""
    method, path, *body = request.split(" ", 2)
    return f"{method} {path}", "".join(body)
