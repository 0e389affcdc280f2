"""What the tests of log integrations share: a tracer, and a handler that keeps its records."""

from __future__ import annotations

import logging

import fasttrace

tracer = fasttrace.get_tracer("tests.logs")


class Kept(logging.Handler):
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def ids(self) -> list[tuple[str, str]]:
        return [(record.trace_id, record.span_id) for record in self.records]  # type: ignore[attr-defined]


def ids(span: fasttrace.Span) -> tuple[str, str]:
    return span.trace_id_hex, span.span_id_hex


def logger_of(handler: logging.Handler, name: str = "shop.checkout") -> logging.Logger:
    """A logger that belongs to nobody else, with one handler."""
    made = logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - it ends with the test
    made.addHandler(handler)
    return made


def fail() -> None:
    raise ValueError("no money")
