"""Tracers that keep what they are told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation.span import BaseSpan

__all__ = ["Events", "Spans", "added"]


class Spans(BaseSpanHandler[BaseSpan]):
    """Keeps spans and how they ended."""

    def new_span(self, id_: str, *_: Any, parent_span_id: str | None = None, **__: Any) -> BaseSpan:
        return BaseSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, *_: Any, **__: Any) -> BaseSpan:
        self.completed_spans.append(self.open_spans[id_])
        return self.open_spans[id_]

    def prepare_to_drop_span(self, id_: str, *_: Any, **__: Any) -> BaseSpan:
        self.dropped_spans.append(self.open_spans[id_])
        return self.open_spans[id_]

    def named(self, name: str) -> list[BaseSpan]:
        """The spans that ended well, by the name of the method."""
        return [span for span in self.completed_spans if span.id_.startswith(f"{name}-")]


class Events(BaseEventHandler):
    """Keeps events."""

    seen: list[BaseEvent] = []  # noqa: RUF012

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.seen.append(event)

    def of(self, *kinds: type[BaseEvent]) -> list[BaseEvent]:
        return [event for event in self.seen if isinstance(event, kinds)]


@contextmanager
def added(handler: Spans) -> Generator[None, None, None]:
    root: Any = get_dispatcher()
    before = list(root.span_handlers)
    root.add_span_handler(handler)
    yield
    root.span_handlers = before
