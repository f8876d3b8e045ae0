"""What users and tools say, in which form, and whether it is stored as it was said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count

from letta_adapters.testing.messages import StoredMessage, ToolReturn
from letta_adapters.transcript import Anchor, Content, HumanEntry, ToolEntry
from letta_adapters.wire import Base64Image, ImageContent, TextContent, UrlImage
from tests.properties.kept import Kept, text_of
from tests.properties.model import SAME, human_text, numbers_in

__all__ = ["Speech"]

_PICTURE = ImageContent(source=UrlImage(url="http://pictures.test/fish.png"))
_DRAWING = ImageContent(source=Base64Image(media_type="image/png", data="aGVsbG8="))


@dataclass(kw_only=True)
class Speech:
    """Makes messages of users and tools, and remembers what became of what.

    Args:
        ids: Whether they have ids.
        names: Whether users have names.
        parts: Whether most of them have images.
    """

    ids: bool = True
    names: bool = False
    parts: bool = False
    _numbers: count[int] = field(default_factory=lambda: count(SAME + 1))
    _ids: count[int] = field(default_factory=lambda: count(1))
    _strangers: set[int] = field(default_factory=set[int])
    _asked_in: dict[str, Collection[str]] = field(default_factory=dict[str, "Collection[str]"])

    def number(self) -> int:
        """A number that nothing has yet."""
        return next(self._numbers)

    def strangers_number(self) -> int:
        """The same for what nobody of ours says, and not as ours do."""
        number = self.number()
        self._strangers.add(number)
        return number

    def id(self, kind: str) -> str | None:
        """An id of a framework, if it gives any."""
        return f"{kind}-{next(self._ids)}" if self.ids else None

    def mark(self) -> int:
        """A number for anything that no user says."""
        return next(self._ids)

    def human(self, number: int, *, id: str | None = None) -> HumanEntry:
        """What a user says."""
        content = self._content(human_text(number), number)
        return HumanEntry(content=content, id=id or self.id("human"), name=self._name(number))

    def result(self, call_id: str, name: str, *, asked_in: Collection[str] = ()) -> ToolEntry:
        """What a tool gives back for a call that one of some messages asked for; without any, none of ours did."""
        number = self.mark()
        self._asked_in[f"={number}="] = asked_in
        content = self._content(f"={number}=", number)
        status = "error" if number % 4 == 3 else "success"
        return ToolEntry(tool_call_id=call_id, content=content, status=status, name=name, id=self.id("tool"))

    def result_of(self, anchor: Anchor, call_id: str) -> ToolEntry:
        """What the program's tool gives back for a call of an answer."""
        return self.result(call_id, "add", asked_in=anchor.message_ids)

    def check(self, conversations: Sequence[Kept]) -> None:
        """Check that all is stored as it was said, and that results are of the calls that they were made for."""
        for conversation in conversations:
            messages = conversation.said
            for message in messages:
                self._check_form(message)
            self._check_calls(messages)

    def _check_form(self, message: StoredMessage) -> None:
        numbers = numbers_in(text_of(message))
        if message.role != "user" or len(numbers) != 1 or numbers[0] in self._strangers:
            return
        images = sum(part["type"] == "image" for part in message.content)
        assert images == self._images(numbers[0]), f"#{numbers[0]}# has {images} images"
        assert message.name == self._name(numbers[0]), f"#{numbers[0]}# is by {message.name}"

    def _check_calls(self, messages: Sequence[StoredMessage]) -> None:
        request = ""
        for message in messages:
            request = message.id if message.is_approval_request else request
            for answer in message.approvals:
                said = str(answer.response) if isinstance(answer, ToolReturn) else ""
                for marker, asked_in in self._asked_in.items():
                    assert marker not in said or request in asked_in, f"{marker} is given for another call"

    def _content(self, text: str, number: int) -> Content:
        match self._images(number):
            case 0:
                return text
            case 1:
                return (TextContent(text=text), _PICTURE)
            case _:
                return (_DRAWING, TextContent(text=text), _PICTURE)

    def _images(self, number: int) -> int:
        return number % 3 if self.parts else 0

    def _name(self, number: int) -> str | None:
        return ("ann", "bob")[number % 2] if self.names else None
