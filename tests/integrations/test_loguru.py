"""loguru with ids: beside any patcher of the application's, and never in its way."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("loguru")

from logs import fail, ids, tracer
from loguru import logger
from loopback import Spans

from fasttrace.errors import ConfigurationError
from fasttrace.integrations.loguru import add_trace_context, instrument, uninstrument


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What a sink with the ids in its format gets."""
    found: list[str] = []
    before = logger._core.patcher
    logger.remove()
    logger.add(lambda message: found.append(str(message).strip()), format="{extra} {message}", level=0)
    yield found
    uninstrument()
    logger.remove()
    logger._core.patcher = before


def line(span: Any, message: str, **extra: Any) -> str:
    trace_id, span_id = ids(span) if span is not None else ("", "")
    return f"{ {**extra, 'trace_id': trace_id, 'span_id': span_id} } {message}"


def test_the_patcher_adds_the_ids_and_empty_ones_outside(spans: Spans, lines: list[str]) -> None:
    logger.configure(patcher=add_trace_context)
    logger.info("outside")
    with tracer.start_as_current_span("span") as span:
        logger.bind(order=7).info("inside")
    assert lines == [line(None, "outside"), line(span, "inside", order=7)]


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_a_patcher_of_the_application_goes_on_whoever_came_first(spans: Spans, lines: list[str], first: str) -> None:
    def theirs(record: Any) -> None:
        record["extra"]["app"] = "shop"

    for step in ("theirs", "ours") if first == "theirs" else ("ours", "theirs"):
        if step == "theirs":
            logger.configure(patcher=theirs)
        else:
            for _ in range(2):
                instrument()
    with tracer.start_as_current_span("span") as span:
        logger.info("both")
        logger.patch(lambda record: record["extra"].update(own=1)).info("three")
    for _ in range(2):
        uninstrument()
    assert logger._core.patcher is theirs
    logger.info("plain")
    trace_id, span_id = ids(span)
    assert lines == [
        f"{ {'trace_id': trace_id, 'span_id': span_id, 'app': 'shop'} } both",
        f"{ {'trace_id': trace_id, 'span_id': span_id, 'app': 'shop', 'own': 1} } three",
        f"{ {'app': 'shop'} } plain",
    ]


def test_what_the_application_binds_under_these_names_stays(spans: Spans, lines: list[str]) -> None:
    instrument()
    with tracer.start_as_current_span("span") as span, logger.contextualize(trace_id="T-1"):
        logger.info("bound")
    assert lines == [f"{ {'trace_id': 'T-1', 'span_id': span.span_id_hex} } bound"]


def test_threads_tasks_and_queued_sinks_get_the_ids_of_the_caller(spans: Spans, lines: list[str]) -> None:
    instrument()
    logger.remove()
    logger.add(
        lambda message: lines.append(str(message).strip()),
        format="{extra[trace_id]} {extra[span_id]} {message}",
        enqueue=True,
    )
    expected = []

    def work(name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            expected.append(" ".join((*ids(span), name)))
            logger.info(name)

    async def task(name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            expected.append(" ".join((*ids(span), name)))
            await asyncio.sleep(0)
            logger.info(name)

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task {number}") for number in range(4)))

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    logger.complete()
    assert sorted(lines) == sorted(expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_writes_its_own_ids(spans: Spans, lines: list[str]) -> None:
    instrument()
    reader, writer = os.pipe()
    with tracer.start_as_current_span("parent") as parent:
        pid = os.fork()
        if pid == 0:
            try:
                with tracer.start_as_current_span("child"):
                    logger.info("in the child")
                os.write(writer, lines[0].encode())
            finally:
                os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    assert parent.trace_id_hex in text
    assert parent.span_id_hex not in text


def test_warnings_become_events_once(spans: Spans, lines: list[str]) -> None:
    instrument(events=True)
    logger.add(lambda _: None)
    with tracer.start_as_current_span("span"):
        logger.info("no")
        logger.warning("stock is {}", "low")
        try:
            fail()
        except ValueError:
            logger.exception("payment failed")
    log, exception = spans()[0].events
    assert (log.name, log.attributes["log.message"], log.attributes["log.severity"]) == (
        "log",
        "stock is low",
        "WARNING",
    )
    assert (log.attributes["log.logger"], log.attributes["code.file.path"]) == (__name__, __file__)
    assert (exception.name, exception.attributes["exception.type"]) == ("exception", "ValueError")
    assert exception.attributes["log.message"] == "payment failed"
    assert len(lines) == 3


def test_a_sink_that_traces_and_warns_is_no_loop(spans: Spans, lines: list[str]) -> None:
    instrument(events=True)
    warned = []

    def sink(message: Any) -> None:
        with tracer.start_as_current_span("send"):
            warned.append(str(message))

    logger.add(sink, format="{message}")
    with tracer.start_as_current_span("span"):
        logger.error("once")
    assert [len(span.events) for span in spans()] == [1, 0]
    assert len(warned) == 1


def test_records_are_what_they_are_without_it_but_for_the_ids(spans: Spans, lines: list[str]) -> None:
    records: list[Any] = []
    logger.add(lambda message: records.append(message.record))

    def say() -> None:
        logger.bind(order=7).warning("paid {}", 5)

    say()
    instrument()
    with tracer.start_as_current_span("span"):
        say()
    plain, traced = records
    assert set(traced["extra"]) - set(plain["extra"]) == {"trace_id", "span_id"}
    different = {"elapsed", "time", "extra"}
    assert {key: str(value) for key, value in plain.items() if key not in different} == {
        key: str(value) for key, value in traced.items() if key not in different
    }


def test_a_level_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="level='LOUD'"):
        instrument(events=True, level="LOUD")
