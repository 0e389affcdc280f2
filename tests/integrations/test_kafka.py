"""Kafka's headers, with librdkafka's own cluster of brokers and two clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Spans

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.export import MemoryExporter
from fasttrace.integrations import kafka
from fasttrace.sampling import Rule, Rules

tracer = fasttrace.get_tracer("tests")


def test_headers_are_pairs_of_text_and_bytes_and_the_callers_list_stays_as_it_was(spans: Spans) -> None:
    given = [("tenant", b"a"), ("traceparent", b"old")]
    with tracer.start_as_current_span("request") as span:
        headers = kafka.inject_headers(given)
        assert kafka.inject_headers() == headers[1:]
        assert kafka.inject_headers({"tenant": b"a"}) == headers
    assert given == [("tenant", b"a"), ("traceparent", b"old")]
    assert headers == [("tenant", b"a"), ("traceparent", f"00-{span.trace_id_hex}-{span.span_id_hex}-03".encode())]
    for carrier in (headers, tuple(headers), dict(headers), [*headers, ("nothing", None)]):
        context = kafka.extract_headers(carrier).span_context
        assert context is not None and (context.span_id, context.sampled) == (span.span_id, True)


@pytest.mark.parametrize("formats", [["binary"], ["tracecontext", "baggage"], ["b3"], ["datadog"]])
def test_every_format_passes_through_the_headers(formats: list[str]) -> None:
    fasttrace.configure(propagators=formats, exporter=MemoryExporter())
    try:
        with tracer.start_as_current_span("request") as span:
            headers = kafka.inject_headers([("tenant", b"a")])
        assert all(type(name) is str and type(value) is bytes for name, value in headers)
        if formats == ["binary"]:
            assert headers[1][0] == "grpc-trace-bin" and len(headers[1][1]) == 29
        context = kafka.extract_headers(headers).span_context
        assert context is not None and context.span_id == span.span_id
    finally:
        fasttrace.configure(propagators=["tracecontext", "baggage"])
        fasttrace.shutdown(timeout=10)


@pytest.mark.parametrize("headers", [None, (), [], [("a", b"b")], [("traceparent", None)], 17, [1], {"x": object()}])
def test_headers_without_a_context_give_an_empty_one(headers: Any) -> None:
    with tracer.start_as_current_span("of the worker"):
        assert kafka.extract_headers(headers).span_context is None


def test_head_rules_see_the_message_and_what_is_left_out_says_so_in_the_headers() -> None:
    rules = Rules([Rule(attributes={"messaging.destination.name": "orders"}, sample=True)], default=False)
    exporter = MemoryExporter()
    fasttrace.configure(exporter=exporter, sampler=rules)
    flags = []
    for topic in ("orders", "other"):
        with kafka.process(SimpleNamespace(topic=topic)):
            ((_, traceparent),) = kafka.inject_headers()
            flags.append(traceparent[-2:])
    fasttrace.shutdown(timeout=10)
    assert [span.name for span in exporter.spans] == ["process orders"]
    assert flags == [b"03", b"02"]


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    confluent_kafka = pytest.importorskip("confluent_kafka")
    producer = confluent_kafka.Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    yield ",".join(f"{one.host}:{one.port}" for one in producer.list_topics(timeout=20).brokers.values())
    producer.flush(10)


def read(brokers: str, topic: str, count: int) -> list[Any]:
    """The first messages of a topic's partitions."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "tests", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    messages = [consumer.poll(20) for _ in range(count)]
    consumer.close()
    assert all(message is not None and message.error() is None for message in messages)
    return messages


def test_confluent_kafka_sends_the_context_and_a_record_is_processed_below_it(brokers: str, spans: Spans) -> None:
    import confluent_kafka

    integration = pytest.importorskip("fasttrace.integrations.confluent_kafka")
    original = confluent_kafka.Producer
    integration.instrument()
    integration.instrument()
    try:
        producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "log_level": 0})
        with pytest.raises(TypeError, match="inject_headers"):
            integration.instrument(producer)
        assert isinstance(producer, original)
        assert confluent_kafka.Producer.__name__ == original.__name__
        delivered: list[Any] = []
        with tracer.start_as_current_span("request"):
            producer.produce("orders", b"one", headers={"tenant": b"a"}, callback=lambda *args: delivered.append(args))
            with pytest.raises(TypeError):
                producer.produce("orders", b"two", headers=17)
            with pytest.raises(TypeError):
                producer.produce("orders", object())
        serializing = confluent_kafka.SerializingProducer({"bootstrap.servers": brokers, "log_level": 0})
        serializing.produce("serialized", value=b"three")
        assert producer.flush(20) == serializing.flush(20) == 0
    finally:
        integration.uninstrument()
    assert confluent_kafka.Producer is original
    producer.produce("orders", b"untraced")
    producer.flush(20)
    assert delivered[0][0] is None
    (message,) = (message for message in read(brokers, "orders", 2) if message.value() == b"one")
    with tracer.start_as_current_span("of the worker"):
        with kafka.process(message) as span:
            assert fasttrace.current_span() is span
        with pytest.raises(KeyError), kafka.process(message):
            raise KeyError
    request, send, bad, worse, serialized, _, process, failed = spans()
    assert (send.name, send.kind, send.parent_span_id) == ("send orders", SpanKind.PRODUCER, request.span_id)
    assert message.headers()[0] == ("tenant", b"a")
    assert bad.attributes["error.type"] == worse.attributes["error.type"] == "TypeError"
    assert (serialized.name, serialized.attributes["messaging.destination.name"]) == ("send serialized", "serialized")
    assert (process.name, process.kind, process.parent_span_id) == ("process orders", SpanKind.CONSUMER, send.span_id)
    assert process.trace_id == request.trace_id
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": str(message.partition()),
        "messaging.kafka.offset": message.offset(),
    }
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "KeyError"


def test_aiokafka_sends_the_context_and_a_record_is_processed_below_it(brokers: str, spans: Spans) -> None:
    aiokafka = pytest.importorskip("aiokafka")
    integration = pytest.importorskip("fasttrace.integrations.aiokafka")

    async def work() -> list[Any]:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=brokers)
        await producer.start()
        consumer = aiokafka.AIOKafkaConsumer("async", bootstrap_servers=brokers, auto_offset_reset="earliest")
        await producer.send_and_wait("async", b"without")
        integration.instrument()
        with tracer.start_as_current_span("request"):
            given = [("tenant", b"a")]
            await producer.send_and_wait("async", b"with", headers=given)
            await producer.send("async", b"positional", None, None, None, given)
            assert given == [("tenant", b"a")]
            with pytest.raises(TypeError):
                await producer.send_and_wait("async", "text")
        integration.uninstrument()
        assert integration.instrument(producer) is producer
        integration.instrument()
        await producer.send_and_wait("async", b"one producer")
        integration.uninstrument(producer)
        integration.uninstrument()
        await producer.send_and_wait("async", b"again without")
        await consumer.start()
        records = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(5)]
        await consumer.stop()
        await producer.stop()
        return records

    records = {record.value: record for record in asyncio.run(work())}
    assert records[b"without"].headers == records[b"again without"].headers == ()
    for name in (b"with", b"positional", b"one producer"):
        with kafka.process(records[name]):
            pass
    request, first, second, failed, alone, *processed = spans()
    assert {data.name for data in (first, second, failed, alone)} == {"send async"}
    assert {data.parent_span_id for data in (first, second, failed)} == {request.span_id}
    assert failed.attributes["error.type"] == "TypeError"
    assert [data.parent_span_id for data in processed] == [first.span_id, second.span_id, alone.span_id]


def test_a_record_of_kafka_python_is_processed_below_its_sender(spans: Spans) -> None:
    records = pytest.importorskip("kafka.consumer.fetcher")
    with tracer.start_as_current_span("request") as request:
        headers = kafka.inject_headers()
    fields = dict.fromkeys(records.ConsumerRecord._fields)
    record = records.ConsumerRecord(**{**fields, "topic": "orders", "partition": 3, "offset": 5, "headers": headers})
    with kafka.process(record):
        pass
    assert spans()[1].parent_span_id == request.span_id_hex
    assert spans()[1].attributes["messaging.kafka.offset"] == 5
