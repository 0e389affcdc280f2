"""structlog with ids: in every event dict, whatever is configured, and never in the application's way."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("structlog")

import structlog
from logs import Kept, fail, ids, tracer
from loopback import Spans
from structlog.testing import LogCapture

import fasttrace.integrations.logging as stdlib
from fasttrace.errors import ConfigurationError
from fasttrace.integrations.structlog import TraceContextProcessor, instrument, uninstrument


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    yield
    uninstrument()
    structlog.reset_defaults()


@pytest.fixture
def entries() -> list[Any]:
    """What loggers write, with no processor of ours."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    return capture.entries


def test_the_processor_adds_the_ids_of_the_span_and_nothing_outside(spans: Spans) -> None:
    capture = LogCapture()
    structlog.configure(processors=[TraceContextProcessor(), capture])
    log = structlog.get_logger()
    log.info("outside")
    with tracer.start_as_current_span("span") as span:
        log.info("inside")
    trace_id, span_id = ids(span)
    assert capture.entries == [
        {"event": "outside", "log_level": "info"},
        {"event": "inside", "log_level": "info", "trace_id": trace_id, "span_id": span_id},
    ]


def test_ids_are_those_of_the_caller_in_threads_and_tasks(spans: Spans, entries: list[Any]) -> None:
    instrument()
    log = structlog.get_logger()
    expected: dict[str, tuple[str, str]] = {}

    async def task(name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            expected[name] = ids(span)
            await asyncio.sleep(0)
            await log.ainfo(name)

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task {number}") for number in range(4)))

    def work(name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            expected[name] = ids(span)
            log.info(name)

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(0))
    asyncio.run(tasks())
    assert {entry["event"]: (entry["trace_id"], entry["span_id"]) for entry in entries} == expected


def test_instrument_works_with_whatever_is_configured_later_and_is_undone(spans: Spans) -> None:
    for _ in range(2):
        instrument()
    capture = LogCapture()
    structlog.configure(processors=[capture])
    with tracer.start_as_current_span("span") as span:
        structlog.get_logger().info("traced", order=7)
        for _ in range(2):
            uninstrument()
        structlog.get_logger().info("plain", order=7)
    trace_id, span_id = ids(span)
    traced, plain = capture.entries
    assert traced == {"event": "traced", "order": 7, "log_level": "info", "trace_id": trace_id, "span_id": span_id}
    assert plain == {"event": "plain", "order": 7, "log_level": "info"}


def test_what_the_application_binds_under_these_names_stays(spans: Spans, entries: list[Any]) -> None:
    instrument()
    with tracer.start_as_current_span("span") as span:
        structlog.get_logger().bind(trace_id="T-1").info("bound")
        structlog.get_logger().info("passed", trace_id="T-2")
    assert [entry["trace_id"] for entry in entries] == ["T-1", "T-2"]
    assert {entry["span_id"] for entry in entries} == {span.span_id_hex}


@pytest.mark.parametrize("how", ["instrument", "processor"])
def test_warnings_become_events_once(spans: Spans, how: str) -> None:
    capture = LogCapture()
    if how == "instrument":
        structlog.configure(processors=[capture])
        instrument(events=True)
    else:
        structlog.configure(processors=[TraceContextProcessor(events=True), capture])
    log = structlog.get_logger()
    with tracer.start_as_current_span("span"):
        log.info("no")
        log.bind(order=7).warning("stock low")
        try:
            fail()
        except ValueError as error:
            log.exception("payment failed")
            log.error("again", exc_info=error)  # noqa: TRY400 - another way to say it
            log.error("by a flag", exc_info=True)  # noqa: G201 - a third one
    (span,) = spans()
    assert [
        (event.name, event.attributes["log.message"], event.attributes["log.severity"]) for event in span.events
    ] == [
        ("log", "stock low", "WARNING"),
        ("exception", "payment failed", "ERROR"),
        ("exception", "again", "ERROR"),
        ("exception", "by a flag", "ERROR"),
    ]
    assert {event.attributes["exception.message"] for event in span.events[1:]} == {"no money"}
    assert len(capture.entries) == 5


def test_through_logging_the_ids_are_there_and_a_warning_is_one_event(spans: Spans) -> None:
    """The usual bridge, which passes everything on as `extra`: ids of the same name are no error."""
    handler = Kept()
    logger = logging.getLogger("tests.structlog")
    logger.addHandler(handler)
    logger.propagate = False
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    stdlib.instrument(events=True)
    instrument(events=True)
    try:
        with tracer.start_as_current_span("span") as span:
            structlog.get_logger("tests.structlog").warning("low", order=7)
    finally:
        stdlib.uninstrument()
        logger.handlers.clear()
    assert handler.ids == [ids(span)]
    assert handler.records[0].order == 7  # type: ignore[attr-defined]
    (event,) = spans()[0].events
    assert event.attributes["log.logger"] == "tests.structlog"


def test_the_json_renderer_writes_them(spans: Spans, capsys: pytest.CaptureFixture[str]) -> None:
    structlog.configure(
        processors=[structlog.processors.add_log_level, TraceContextProcessor(), structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(),
    )
    with tracer.start_as_current_span("span") as span:
        structlog.get_logger().info("paid")
    assert json.loads(capsys.readouterr().out) == {
        "event": "paid",
        "level": "info",
        "trace_id": span.trace_id_hex,
        "span_id": span.span_id_hex,
    }


def test_a_dropped_event_stays_dropped(spans: Spans) -> None:
    def drop(*_: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    instrument()
    with tracer.start_as_current_span("span"):
        assert structlog.get_logger().info("nothing") is None


def test_a_level_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="level='LOUD'"):
        instrument(events=True, level="LOUD")
