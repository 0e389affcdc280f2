"""Warnings as events of the current span: once each, never in a loop, never in the application's way."""

from __future__ import annotations

import logging
import logging.config
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from logs import Kept, fail, ids, logger_of, tracer
from loopback import Spans

import fasttrace
from fasttrace import _log
from fasttrace._core.types import Event
from fasttrace.integrations.logging import SpanEventHandler, instrument, uninstrument


@pytest.fixture
def logger() -> logging.Logger:
    return logger_of(logging.NullHandler())


@pytest.fixture
def events() -> Iterator[None]:
    instrument(events=True)
    yield
    uninstrument()


def only_event(spans: Spans) -> Event:
    (span,) = spans()
    (event,) = span.events
    return event


def test_a_warning_is_one_event_however_many_handlers_there_are(
    spans: Spans, logger: logging.Logger, events: None
) -> None:
    for _ in range(3):
        logger.addHandler(Kept())
    with tracer.start_as_current_span("span"):
        logger.info("not this one")
        logger.warning("stock is %s", "low")
    event = only_event(spans)
    assert event.name == "log"
    line = event.attributes.pop("code.line.number")
    assert isinstance(line, int)
    assert event.attributes == {
        "log.severity": "WARNING",
        "log.message": "stock is low",
        "log.logger": "shop.checkout",
        "code.file.path": __file__,
        "code.function.name": "test_a_warning_is_one_event_however_many_handlers_there_are",
    }


def test_an_exception_that_is_logged_is_one_event_with_the_exceptions_attributes(
    spans: Spans, logger: logging.Logger, events: None
) -> None:
    with tracer.start_as_current_span("span"):
        try:
            fail()
        except ValueError:
            logger.exception("payment failed")
    event = only_event(spans)
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "no money"
    assert "in fail" in event.attributes["exception.stacktrace"]
    assert event.attributes["log.message"] == "payment failed"
    assert event.attributes["log.severity"] == "ERROR"
    assert spans()[0].status.status_code == fasttrace.StatusCode.UNSET, "what was handled is no error of the span"


def test_the_level_is_the_applications_choice(spans: Spans, logger: logging.Logger) -> None:
    instrument(events=True, level="INFO")
    try:
        with tracer.start_as_current_span("span"):
            logger.debug("no")
            logger.info("yes")
    finally:
        uninstrument()
    assert only_event(spans).attributes["log.message"] == "yes"


def test_without_asking_there_are_no_events(spans: Spans, logger: logging.Logger) -> None:
    instrument()
    try:
        with tracer.start_as_current_span("span"):
            logger.error("not asked for")
    finally:
        uninstrument()
    assert spans()[0].events == []


def test_what_a_filter_refuses_is_no_event(spans: Spans, logger: logging.Logger, events: None) -> None:
    logger.addFilter(lambda record: "secret" not in record.getMessage())
    with tracer.start_as_current_span("span"):
        logger.error("secret")
    assert spans()[0].events == []


def test_logging_goes_on_as_without(spans: Spans, events: None, capsys: pytest.CaptureFixture[str]) -> None:
    """No handler is added to the root, so that basicConfig and the last resort do what they always did."""
    root = logging.getLogger()
    before, root.handlers[:] = root.handlers[:], []
    try:
        with tracer.start_as_current_span("span"):
            logging.getLogger("tests.last.resort").warning("to stderr")
        logging.basicConfig(format="%(message)s!")
        with tracer.start_as_current_span("span"):
            logging.getLogger("tests.basic.config").warning("configured")
    finally:
        root.handlers[:] = before
    assert capsys.readouterr().err == "to stderr\nconfigured!\n"
    assert [len(span.events) for span in spans()] == [1, 1]


def test_our_own_logger_makes_no_events(spans: Spans, events: None) -> None:
    _log._last.clear()
    with tracer.start_as_current_span("span"):
        _log.warning("tests", "spans were lost")
        logging.getLogger("fasttrace.opentelemetry.provider").error("something else of ours")
        logging.getLogger("fasttraced").error("somebody else's")
    assert only_event(spans).attributes["log.logger"] == "fasttraced"


def test_a_handler_may_trace_and_log_and_a_message_may_log(spans: Spans, logger: logging.Logger, events: None) -> None:
    other = logger_of(logging.NullHandler(), "other")

    class Tracing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with tracer.start_as_current_span("send the log"):
                other.warning("sent %s", record.getMessage())

    class Talking:
        def __str__(self) -> str:
            other.warning("asked for a text")
            return "text"

    logger.addHandler(Tracing())
    with tracer.start_as_current_span("span"):
        logger.error("this is %s", Talking())
    outer, inner = spans()
    # What the message says while our event is made is left out; what it says to the handler is the handler's span's.
    assert [event.attributes["log.message"] for event in outer.events] == ["this is text"]
    assert [event.attributes["log.message"] for event in inner.events] == ["asked for a text", "sent this is text"]


def test_a_message_that_does_not_fit_stays_loggings_affair(
    spans: Spans, logger: logging.Logger, events: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.addHandler(logging.StreamHandler())
    with tracer.start_as_current_span("span"):
        logger.error("%d", "no number")
        logger.error("the next one")
    assert "--- Logging error ---" in capsys.readouterr().err
    assert only_event(spans).attributes["log.message"] == "the next one"


def test_an_unsampled_span_costs_no_message(logger: logging.Logger, events: None) -> None:
    class Counting:
        asked = 0

        def __str__(self) -> str:
            self.asked += 1
            return ""

    counting = Counting()
    fasttrace.configure(exporter="none", sampler="always_off")
    try:
        with tracer.start_as_current_span("span"):
            logger.error("%s", counting)
        logger.error("%s", counting)
    finally:
        fasttrace.shutdown()
    assert counting.asked == 0


def test_a_thread_without_a_span_adds_nothing_to_that_of_another(
    spans: Spans, logger: logging.Logger, events: None
) -> None:
    with tracer.start_as_current_span("span"):
        thread = threading.Thread(target=logger.error, args=("elsewhere",))
        thread.start()
        thread.join()
    assert spans()[0].events == []


def test_a_handler_of_a_dict_config_or_of_one_logger(spans: Spans) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"events": {"class": "fasttrace.integrations.logging.SpanEventHandler", "level": "ERROR"}},
            "loggers": {"tests.handler": {"handlers": ["events"], "propagate": False}},
        }
    )
    logger = logging.getLogger("tests.handler")
    with tracer.start_as_current_span("configured"):
        logger.warning("no")
        logger.error("yes")
    logger.handlers.clear()
    for _ in range(2):
        instrument(logger, events=True)
    assert [type(handler) for handler in logger.handlers] == [SpanEventHandler]
    with tracer.start_as_current_span("instrumented") as span:
        logging.getLogger("tests.handler.below").warning("too")
    uninstrument(logger)
    assert logger.handlers == []
    first, second = spans()
    assert [event.attributes["log.message"] for event in first.events] == ["yes"]
    assert [event.attributes["log.message"] for event in second.events] == ["too"]
    assert ids(span) == (second.trace_id, second.span_id)


def test_without_it_the_application_sees_the_same(spans: Spans) -> None:
    def run() -> list[Any]:
        handler = Kept()
        logger = logger_of(handler)
        with tracer.start_as_current_span("span"):
            try:
                fail()
            except ValueError:
                logger.exception("failed %s", 1)
        (record,) = handler.records
        return [record.getMessage(), str(record.exc_info), record.exc_text, record.levelno, record.funcName]

    plain = run()
    instrument(events=True)
    try:
        traced = run()
    finally:
        uninstrument()
    assert [item for item in plain if "0x" not in str(item)] == [item for item in traced if "0x" not in str(item)]
