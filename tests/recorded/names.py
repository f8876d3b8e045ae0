"""Names for what is another one in every recording: ids, times, and where the model was.

An id becomes the number of its first appearance, and what follows from ids stays true: a message's otids are its
uuid with the part's index in the last seven bits (`tests.contract.wire.otid_of`), and a call is asked for under the
id before the step's. Times keep their order where the server tells microseconds; of those in whole seconds nobody
can tell the order, so all are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from uuid import UUID

UUID_FORM = r"(?!0{8}-)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
TOKEN = re.compile(rf"(?<![0-9a-f])({UUID_FORM}|[0-9a-f]{{32}}|[0-9a-f]{{24}})(?![0-9a-f])")
"""A uuid with dashes or without, or the end of a call's id: what is made by chance, here or at the server.

Uuids that begin with zeros are nobody's: the scenarios ask for them, and the server's only user has one.
"""

_ID = re.compile(rf"(?<![0-9a-f])(message-)?({UUID_FORM}|[0-9a-f]{{32}}|[0-9a-f]{{24}})(?![0-9a-f])")
_TIME = re.compile(r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?P<fraction>\.\d{1,6})?(?P<zone>Z|[+-]\d\d:\d\d)?")
_LOOPBACK = re.compile(r"http://127\.0\.0\.1:\d+")
_PROSE_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [AP]M UTC[+-]\d{4}")
_DURATION = re.compile(r'("\w+_(?:ns|ms)":\s*)\d+')

ROOT = UUID("5e77a000-0000-4000-8000-000000000000").int
SPAN = 256
"""How many numbers a cluster of uuids has: two times the 128 that differ in the last seven bits."""


class Names:
    """The names for all that some texts tell of; equal texts but for ids and times are given equal names."""

    def __init__(self, texts: Iterable[str]) -> None:
        whole = "\n".join(texts)
        self._ids = dict(_ids(whole))
        assert len({*self._ids.values()}) == len(self._ids), "two ids have one name"
        self._times = _times(whole)

    def in_text(self, text: str) -> str:
        """Put the names into a text."""
        text = _ID.sub(lambda found: self._ids[found.group()], text)
        text = _TIME.sub(lambda found: self._times[found.group()], text)
        text = _LOOPBACK.sub("http://model.invalid", text)
        text = _PROSE_TIME.sub("2026-01-01 12:00:00 AM UTC+0000", text)
        return _DURATION.sub(r"\g<1>1", text)


def _ids(text: str) -> Iterator[tuple[str, str]]:
    found = dict.fromkeys((one[1] or "", one[2]) for one in _ID.finditer(text))
    uuids = [key for key in found if len(key[1]) == 36]
    for number, cluster in enumerate(_clusters(uuids), start=1):
        yield from _named(cluster, ROOT + number * SPAN)
    for number, (prefix, plain) in enumerate((key for key in found if len(key[1]) != 36), start=1):
        yield prefix + plain, f"{prefix}5e77a{number:0{len(plain) - 5}x}"


def _clusters(keys: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Uuids that follow from one another, together, in the order of their first appearance."""
    order = {key: place for place, key in enumerate(keys)}
    clusters: list[list[tuple[str, str]]] = []
    last = -SPAN
    for key in sorted(keys, key=lambda key: UUID(key[1]).int):
        number = UUID(key[1]).int
        if number - last > 128:
            clusters.append([])
        clusters[-1].append(key)
        last = number
    return sorted(clusters, key=lambda cluster: min(order[key] for key in cluster))


def _named(cluster: list[tuple[str, str]], root: int) -> Iterator[tuple[str, str]]:
    numbers = [UUID(uuid).int for _, uuid in cluster]
    top = max((number for (prefix, _), number in zip(cluster, numbers, strict=True) if prefix), default=numbers[0])
    for (prefix, uuid), number in zip(cluster, numbers, strict=True):
        if len({one >> 7 for one in numbers}) > 1:  # the id before the step's has other bits, one time in 128
            place = 128 + number - (top & ~0x7F)
        elif prefix or len(cluster) == 1:
            place = 64 - (top - number)
        else:
            place = number & 0x7F
        yield prefix + uuid, prefix + str(UUID(int=root + place))


def _times(text: str) -> dict[str, str]:
    found = {time.group(): time for time in _TIME.finditer(text)}
    exact = sorted({_instant(time) for time in found.values() if time["fraction"]})
    names = {instant: f".{place:06}" for place, instant in enumerate(exact, start=1)}
    return {
        spelling: f"2026-01-01T00:00:00{names[_instant(time)] if time['fraction'] else ''}{time['zone'] or ''}"
        for spelling, time in found.items()
    }


def _instant(time: re.Match[str]) -> datetime:
    zone = time["zone"] if time["zone"] not in (None, "Z") else "+00:00"
    fraction = (time["fraction"] or ".").ljust(7, "0")  # Python 3.10 reads three or six digits only
    return datetime.fromisoformat(time["seconds"] + fraction + zone).astimezone(timezone.utc)
