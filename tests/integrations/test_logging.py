"""The ids on log records: everywhere, those of the caller, and never in the application's way."""

from __future__ import annotations

import asyncio
import copy
import logging
import logging.config
import logging.handlers
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from logs import Kept, ids, logger_of, tracer
from loopback import Spans

import fasttrace
from fasttrace.errors import ConfigurationError
from fasttrace.integrations.logging import Formatter, TraceContextFilter, instrument, uninstrument


@pytest.fixture
def logger() -> logging.Logger:
    return logger_of(Kept())


@pytest.fixture
def everywhere() -> Iterator[None]:
    instrument()
    yield
    uninstrument()


def kept(logger: logging.Logger) -> Kept:
    handler = logger.handlers[0]
    assert isinstance(handler, Kept)
    return handler


def test_records_have_the_ids_of_the_span_they_were_written_in(
    spans: Spans, logger: logging.Logger, everywhere: None
) -> None:
    with tracer.start_as_current_span("outer") as outer:
        logger.info("one")
        with tracer.start_as_current_span("inner") as inner:
            logger.info("two")
    assert kept(logger).ids == [ids(outer), ids(inner)]
    record = kept(logger).records[0]
    assert (record.otelTraceID, record.otelSpanID) == ids(outer)  # type: ignore[attr-defined]
    assert record.otelTraceSampled is True  # type: ignore[attr-defined]
    assert record.otelServiceName == "tests"  # type: ignore[attr-defined]


def test_outside_of_a_span_ids_are_empty_and_opentelemetrys_are_zero(
    spans: Spans, logger: logging.Logger, everywhere: None
) -> None:
    logger.info("outside")
    with fasttrace.use(fasttrace.Context()):
        logger.info("in a context without ids")
    for record in kept(logger).records:
        assert (record.trace_id, record.span_id) == ("", "")  # type: ignore[attr-defined]
        assert (record.otelTraceID, record.otelSpanID, record.otelTraceSampled) == ("0", "0", False)  # type: ignore[attr-defined]


def test_a_callers_ids_and_those_of_unsampled_spans_are_there_too(
    spans: Spans, logger: logging.Logger, everywhere: None
) -> None:
    caller = fasttrace.extract({"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-00"})
    with fasttrace.use(caller):
        logger.info("received")
    with tracer.start_as_current_span("unsampled", caller) as span:
        logger.info("unsampled")
    assert kept(logger).ids == [("ab" * 16, "cd" * 8), ids(span)]
    assert [record.otelTraceSampled for record in kept(logger).records] == [False, False]  # type: ignore[attr-defined]


def test_what_the_application_calls_so_stays_and_is_no_error(
    spans: Spans, logger: logging.Logger, everywhere: None
) -> None:
    with tracer.start_as_current_span("span") as span:
        logger.info("mine", extra={"trace_id": "T-4711", "otelTraceID": "other"})
    record = kept(logger).records[0]
    assert (record.trace_id, record.span_id) == ("T-4711", span.span_id_hex)  # type: ignore[attr-defined]
    assert (record.otelTraceID, record.otelSpanID) == ("other", span.span_id_hex)  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", ["factory", "instrument"])
def test_record_factories_of_the_application_go_on_whoever_came_first(
    spans: Spans, logger: logging.Logger, first: str
) -> None:
    class Own(logging.LogRecord):
        tenant = "blue"

    before = logging.getLogRecordFactory()
    try:
        for step in ("factory", "instrument") if first == "factory" else ("instrument", "factory"):
            if step == "factory":
                logging.setLogRecordFactory(Own)
            else:
                instrument()
        with tracer.start_as_current_span("span") as span:
            logger.info("both")
        uninstrument()
        assert logging.getLogRecordFactory() is Own
    finally:
        uninstrument()
        logging.setLogRecordFactory(before)
    assert type(kept(logger).records[0]) is Own
    assert kept(logger).ids == [ids(span)]


def test_instrumenting_twice_and_undoing_it_leaves_nothing(spans: Spans, logger: logging.Logger) -> None:
    before = logging.Logger.makeRecord, logging.Logger.callHandlers
    for _ in range(2):
        instrument(events=True)
    for _ in range(2):
        uninstrument()
    assert (logging.Logger.makeRecord, logging.Logger.callHandlers) == before
    logger.info("without")
    assert "trace_id" not in kept(logger).records[0].__dict__


def test_records_are_what_they_are_without_it_but_for_the_ids(spans: Spans, logger: logging.Logger) -> None:
    def say() -> None:
        logger.warning("paid %d", 5, extra={"order": 7}, stack_info=True, exc_info=ValueError("no"))

    say()
    instrument()
    try:
        with tracer.start_as_current_span("span"):
            say()
    finally:
        uninstrument()
    plain, traced = (record.__dict__.copy() for record in kept(logger).records)
    added = set(traced) - set(plain)
    assert added == {"otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName", "trace_id", "span_id"}
    different = {"created", "msecs", "relativeCreated", "exc_info", "stack_info"}
    assert {key: traced[key] for key in plain if key not in different} == {
        key: plain[key] for key in plain if key not in different
    }
    assert str(plain["exc_info"][1]) == str(traced["exc_info"][1])
    assert plain["funcName"] == "say"
    with pytest.raises(KeyError, match="overwrite"):
        logger.info("as before", extra={"message": "no"})  # noqa: G101 - logging refuses it, as ever


def test_threads_and_tasks_have_their_own(spans: Spans, logger: logging.Logger, everywhere: None) -> None:
    expected: dict[str, tuple[str, str]] = {}

    def work(name: str) -> None:
        for number in range(20):
            with tracer.start_as_current_span(name) as span:
                expected[f"{name} {number}"] = ids(span)
                logger.info("%s %d", name, number)

    async def task(name: str) -> None:
        for number in range(20):
            with tracer.start_as_current_span(name) as span:
                expected[f"{name} {number}"] = ids(span)
                await asyncio.sleep(0)
                logger.info("%s %d", name, number)

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task {number}") for number in range(4)))

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    found = {record.getMessage(): (record.trace_id, record.span_id) for record in kept(logger).records}  # type: ignore[attr-defined]
    assert found == expected
    assert len(found) == 160


def test_a_queue_carries_the_ids_of_the_thread_that_wrote(
    spans: Spans, logger: logging.Logger, everywhere: None
) -> None:
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sink = Kept()
    sink.addFilter(TraceContextFilter())  # in the listener's thread, where no span is: leaves them alone
    listener = logging.handlers.QueueListener(records, sink)
    logger.addHandler(logging.handlers.QueueHandler(records))
    listener.start()
    with tracer.start_as_current_span("span") as span:
        logger.info("queued")
    listener.stop()
    assert sink.ids == [ids(span)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_its_own_ids(spans: Spans, logger: logging.Logger, everywhere: None) -> None:
    reader, writer = os.pipe()
    with tracer.start_as_current_span("parent") as parent:
        pid = os.fork()
        if pid == 0:
            try:
                logger.info("in the parent's span")
                with tracer.start_as_current_span("child"):
                    logger.info("in its own")
                text = " ".join(f"{trace_id} {span_id}" for trace_id, span_id in kept(logger).ids)
                os.write(writer, text.encode())
            finally:
                os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        trace_id, span_id, child_trace_id, child_span_id = pipe.read().split()
    assert os.waitpid(pid, 0)[1] == 0
    assert (trace_id, span_id) == ids(parent)
    assert child_trace_id == trace_id
    assert child_span_id not in ("", span_id)


def test_dict_config_has_filter_and_formatters(spans: Spans, capsys: pytest.CaptureFixture[str]) -> None:
    module = "fasttrace.integrations.logging"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"ids": {"()": f"{module}.TraceContextFilter"}},
            "formatters": {
                "plain": {"format": "%(trace_id)s %(otelSpanID)s %(message)s"},
                "default": {"()": f"{module}.Formatter"},
                "json": {"()": f"{module}.JSONFormatter", "static": {"env": "test"}},
            },
            "handlers": {
                name: {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": name,
                    **({"filters": ["ids"]} if name == "plain" else {}),
                }
                for name in ("plain", "default", "json")
            },
            "loggers": {
                "tests.configured": {"level": "INFO", "handlers": ["plain", "default", "json"], "propagate": False}
            },
        }
    )
    logger = logging.getLogger("tests.configured")
    with tracer.start_as_current_span("span") as span:
        logger.info("configured")
    logger.info("outside")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    lines = capsys.readouterr().out.splitlines()
    trace_id, span_id = ids(span)
    assert lines[0] == f"{trace_id} {span_id} configured"
    assert lines[1].endswith(f"INFO [tests.configured] [trace_id={trace_id} span_id={span_id}] configured")
    assert f'"trace_id": "{trace_id}", "span_id": "{span_id}"' in lines[2]
    assert '"env": "test"' in lines[2]
    assert lines[3] == " 0 outside"
    assert lines[4].endswith("[trace_id= span_id=] outside")
    assert "trace_id" not in lines[5]


def test_one_handler_or_one_logger(spans: Spans, logger: logging.Logger) -> None:
    for target in (kept(logger), logger):
        for _ in range(2):
            instrument(target)
        assert len(target.filters) == 1
        with tracer.start_as_current_span("span") as span:
            logger.info("filtered")
        assert kept(logger).ids[-1] == ids(span)
        for _ in range(2):
            uninstrument(target)
        assert target.filters == []


def test_mistakes_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"level='WARNIGN': use a number or one of .*WARNING"):
        instrument(events=True, level="WARNIGN")
    with pytest.raises(ConfigurationError, match="SpanEventHandler"):
        instrument(Kept(), events=True)


def test_the_formatter_takes_every_style_and_records_made_elsewhere(spans: Spans) -> None:
    record = logging.makeLogRecord({"msg": "made by hand"})
    with tracer.start_as_current_span("span") as span:
        assert (
            Formatter("{trace_id} {message}", style="{").format(copy.copy(record))
            == f"{span.trace_id_hex} made by hand"
        )
        assert Formatter("$span_id $message", style="$").format(copy.copy(record)) == f"{span.span_id_hex} made by hand"


def test_caplog_sees_them(spans: Spans, caplog: pytest.LogCaptureFixture, everywhere: None) -> None:
    with caplog.at_level(logging.INFO), tracer.start_as_current_span("span") as span:
        logging.getLogger("tests.caplog").info("captured")
    assert [(record.trace_id, record.span_id) for record in caplog.records] == [ids(span)]  # type: ignore[attr-defined]


def test_before_configure_nothing_is_missing() -> None:
    import subprocess

    program = (
        "import logging, fasttrace.integrations.logging as ours\n"
        "ours.instrument(events=True)\n"
        "logging.basicConfig(format='[%(trace_id)s|%(otelTraceID)s|%(otelServiceName)s] %(message)s')\n"
        "logging.warning('early')\n"
        "import fasttrace\n"
        "with fasttrace.get_tracer('x').start_as_current_span('a span without ids', fasttrace.Context()):\n"
        "    assert fasttrace.context.current_node() is not None\n"
        "    logging.warning('in it')\n"
        "fasttrace.configure(service_name='late', exporter='none')\n"
        "logging.warning('later')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["[|0|] early", "[|0|] in it", "[|0|late] later"]
