"""Recording and replaying with vcrpy, which stands between httpx and the network.

vcrpy joins the pieces of a body: a recording proves what a server says, never how its bytes are cut or timed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from tests.recorded.exchange import Exchange, request_text
from tests.recorded.matching import Bindings
from tests.recorded.names import TOKEN

_cassette: Any = import_module("vcr.cassette").Cassette  # it has no types
_RecordMode: Any = import_module("vcr.record_mode").RecordMode
_Request: Any = import_module("vcr.request").Request

NotRecorded: type[Exception] = import_module("vcr.errors").CannotOverwriteExistingCassetteException
"""A recording has no answer to a request, or none any more."""


class _Answer(dict[str, bytes]):
    """The body of an answer, told with the ids of this run."""

    def __init__(self, text: str, bindings: Bindings) -> None:
        self._text = text
        self._bindings = bindings

    def __getitem__(self, name: str) -> bytes:
        return self._bindings.in_text(self._text).encode()

    def __deepcopy__(self, memo: object) -> _Answer:
        return self  # vcrpy copies what it plays


class _Reel:
    """Where vcrpy finds the exchanges to play; it stores none."""

    def __init__(self, exchanges: Iterable[Exchange], bindings: Bindings) -> None:
        self._exchanges = exchanges
        self._bindings = bindings

    def load_cassette(self, path: str, serializer: object) -> tuple[list[Any], list[Any]]:
        exchanges = list(self._exchanges)
        return [_Request("", "", one.request, {}) for one in exchanges], [self._response(one) for one in exchanges]

    def save_cassette(self, path: str, cassette: object, serializer: object) -> None:
        pass

    def _response(self, exchange: Exchange) -> dict[str, Any]:
        return {
            "status": {"code": exchange.status, "message": None},
            "headers": {"content-type": [exchange.type]},
            "body": _Answer(exchange.answer, self._bindings),
        }


@contextmanager
def recording(servers: Iterable[str]) -> Generator[Callable[[], list[Exchange]], None, None]:
    """Listen to what is said to some servers; gives what gives the exchanges so far, as they came."""
    known = tuple(servers)

    def keep(request: Any) -> Any:
        return request if request.uri.startswith(known) else None

    nothing = _Reel((), Bindings(()))
    with _cassette.use(path="", persister=nothing, record_mode=_RecordMode.ALL, before_record_request=keep) as cassette:
        yield lambda: [_kept(*pair) for pair in zip(cassette.requests, cassette.responses, strict=True)]


@contextmanager
def replaying(exchanges: list[Exchange]) -> Generator[None, None, None]:
    """Answer from a recording and from nothing else, each exchange once.

    Raises:
        NotRecorded: There is no answer to a request, or none any more.
        AssertionError: A recorded request was not made.
    """
    bindings = Bindings(exchanges)

    def address(live: Any, recorded: Any) -> bool:  # vcrpy shows the requests that are alike at least in this
        path = request_text(live.method, live.uri, None).partition("?")[0]
        return TOKEN.sub("#", recorded.body.decode()).startswith(TOKEN.sub("#", path))

    def whole_request(live: Any, recorded: Any) -> None:
        text = request_text(live.method, live.uri, live.body)
        told = recorded.body.decode()
        assert bindings.agree(text, told), f"{text}\nis not\n{told}"

    with _cassette.use(
        path="", persister=_Reel(exchanges, bindings), record_mode=_RecordMode.NONE, match_on=(address, whole_request)
    ) as cassette:
        yield
        left = [one.request for place, one in enumerate(exchanges) if not cassette.play_counts[place]]
        assert left == [], "recorded, but not asked for"


def _kept(request: Any, response: Any) -> Exchange:
    headers = {name.lower(): values for name, values in response["headers"].items()}
    (kind,) = headers.get("content-type", [""])
    return Exchange(
        request=request_text(request.method, request.uri, request.body),
        status=response["status"]["code"],
        type=kind,
        answer=response["body"]["string"].decode(),
    )
