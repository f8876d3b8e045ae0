"""Cassettes: what vcrpy writes down of a real server, and how it is played again.

A cassette has only what matters of an exchange: method, path, the JSON that was sent, status, type and date of the
answer, its body. The server's address becomes `http://letta.invalid`, JSON is indented, and a body of several lines
is a literal block, so that a change of a cassette can be reviewed. Everything else stays as the server sent it.

vcrpy joins the pieces of a body: a cassette proves what a server says, never how its bytes are cut or timed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

HOST = "letta.invalid"
"""Stands for the server: a name that no network resolves."""
BASE_URL = f"http://{HOST}"

CASSETTES = Path(__file__).parents[2] / "cassettes"

_KEPT_HEADERS = frozenset({"content-type", "date", "retry-after"})

_vcr: Any = import_module("vcr")  # it has no types
_yaml: Any = import_module("vcr.serializers.yamlserializer")

NotRecorded: type[Exception] = import_module("vcr.errors").CannotOverwriteExistingCassetteException
"""A cassette has no answer to a request."""


class _Dumper(yaml.SafeDumper):
    """YAML for readers: whatever has more than one line is a literal block."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        return yaml.ScalarNode("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_text)


class _Serializer:
    """vcrpy's own format, laid out for readers."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        return yaml.dump(cassette, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)

    @staticmethod
    def deserialize(text: str) -> Any:
        return _yaml.deserialize(text)


@contextmanager
def recording(path: Path, draft: Path) -> Generator[None, None, None]:
    """Write what is said meanwhile to a cassette; one that is there is replaced, but only in the end.

    Args:
        path: The cassette.
        draft: Where to write until all went well; there is no such file yet.
    """
    with _recorder().use_cassette(str(draft), record_mode="all", record_on_exception=False):
        yield
    path.parent.mkdir(exist_ok=True)
    shutil.move(draft, path)


@contextmanager
def replaying(path: Path) -> Generator[Any, None, None]:
    """Answer from a cassette and from nothing else; gives vcrpy's cassette.

    Raises:
        FileNotFoundError: There is no such cassette.
        NotRecorded: It has no answer to a request, or none any more.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path.name} in {path.parent.name}/: run `make record`.")
    with _recorder().use_cassette(str(path), record_mode="none") as cassette:
        yield cassette


def _recorder() -> Any:
    vcr = _vcr.VCR(
        match_on=("method", "uri", "body"),
        before_record_request=_request_to_keep,
        before_record_response=_response_to_keep,
        serializer="readable",
    )
    vcr.register_serializer("readable", _Serializer)
    return vcr


def _request_to_keep(request: Any) -> Any:
    request.uri = urlsplit(str(request.uri))._replace(scheme="http", netloc=HOST).geturl()
    request.headers = _headers_to_keep(request.headers, lambda value: value)
    request.body = _indented(request.body or b"") or None
    return request


def _response_to_keep(response: dict[str, Any]) -> dict[str, Any]:
    response["headers"] = _headers_to_keep(response["headers"], list)
    response["body"] = {"string": _indented(response["body"]["string"])}
    return response


def _headers_to_keep(headers: Any, copy: Callable[[Any], Any]) -> dict[str, Any]:
    return {name.lower(): copy(value) for name, value in headers.items() if name.lower() in _KEPT_HEADERS}


def _indented(body: bytes) -> bytes:
    """Lay out JSON; leave anything else as it is."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2).encode()
    except ValueError:
        return body
