"""redis-py on a real Redis, sync and asyncio: commands are spans that show no argument."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Spans
from receiving import free_port

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode

redis = pytest.importorskip("redis")
integration = pytest.importorskip("fasttrace.integrations.redis")

NO_RETRY = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def client(redis_port: int) -> Iterator[Any]:
    with redis.Redis(port=redis_port, db=3) as made:
        integration.uninstrument()
        made.flushdb()
        integration.instrument()
        yield made


def test_a_command_is_a_client_span_without_its_arguments(client: Any, redis_port: int, spans: Spans) -> None:
    with tracer.start_as_current_span("request"):
        client.set("user:bob@example.org", "secret", ex=60)
        assert client.get("user:bob@example.org") == b"secret"
    request, command, _ = spans()
    assert (command.name, command.kind, command.parent_span_id) == ("SET", SpanKind.CLIENT, request.span_id)
    assert command.attributes == {
        "db.system.name": "redis",
        "db.namespace": "3",
        "server.address": "localhost",
        "server.port": redis_port,
        "db.operation.name": "SET",
        "db.query.text": "SET ? ? ? ?",
    }


def test_no_password_is_ever_recorded(redis_port: int, spans: Spans) -> None:
    secret = "hunter2hunter2"
    with redis.Redis(port=redis_port, retry=NO_RETRY) as client:
        for command in (("AUTH", secret), (f"AUTH {secret}",), ("HELLO", 3, "AUTH", "bob", secret)):
            with pytest.raises(redis.RedisError):
                client.execute_command(*command)
        client.acl_setuser("bob", enabled=True, passwords=[f"+{secret}"], keys=["*"], commands=["+@all"])
    with redis.Redis(port=redis_port, username="bob", password=secret) as client:
        assert client.ping()
        client.acl_deluser("bob")
    found = spans()
    assert [data.name for data in found[:3]] == ["AUTH", "AUTH", "HELLO"]
    assert found[1].attributes["db.query.text"] == "AUTH ?"
    for data in found:
        assert secret not in repr((data.name, data.attributes, data.events, data.status))


def test_commands_of_two_words_and_long_ones(client: Any, spans: Spans) -> None:
    client.config_get("maxmemory")
    client.mset({f"k{n}": n for n in range(50)})
    config, many = spans()
    assert (config.name, config.attributes["db.query.text"]) == ("CONFIG GET", "CONFIG GET ?")
    assert many.attributes["db.query.text"] == "MSET ? ? ? ? ? ? ? ? ? ? ..."


def test_an_error_passes_unchanged_and_is_told_by_its_prefix(client: Any, spans: Spans) -> None:
    client.set("a", "text")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("a", 1)
    failed = spans()[-1]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "redis.exceptions.ResponseError"
    assert failed.attributes["db.response.status_code"] == "WRONGTYPE"
    assert not failed.events


def test_a_server_that_is_away_or_slow_is_an_error(client: Any, redis_port: int, spans: Spans) -> None:
    with redis.Redis(port=free_port(), retry=NO_RETRY) as away, pytest.raises(redis.ConnectionError):
        away.get("a")
    with redis.Redis(port=redis_port, socket_timeout=0.05, retry=NO_RETRY) as slow, pytest.raises(redis.TimeoutError):
        slow.blpop("nothing", 30)
    refused, timed_out = spans()
    assert refused.attributes["error.type"] == "redis.exceptions.ConnectionError"
    assert (timed_out.name, timed_out.attributes["error.type"]) == ("BLPOP", "redis.exceptions.TimeoutError")


def test_a_pipeline_is_one_span_and_sends_nothing_before(client: Any, spans: Spans) -> None:
    with client.pipeline(transaction=False) as pipeline:
        pipeline.set("a", 1).set("b", 2)
        assert not spans()
        assert pipeline.execute() == [True, True]
        assert pipeline.execute() == []
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        value = int(pipeline.get("a"))
        pipeline.multi()
        pipeline.set("a", value + 1).get("a")
        assert pipeline.execute() == [True, b"2"]
    with client.pipeline(transaction=False) as pipeline, pytest.raises(redis.ResponseError):
        pipeline.lpush("a", 1).execute()
    assert client.pipeline(transaction=False).lpush("a", 1).execute(raise_on_error=False)[0].args
    names = [(data.name, data.attributes["db.query.text"]) for data in spans()]
    assert names == [
        ("PIPELINE SET", "SET ? ?\nSET ? ?"),
        ("WATCH", "WATCH ?"),
        ("GET", "GET ?"),
        ("MULTI", "SET ? ?\nGET ?"),
        ("PIPELINE LPUSH", "LPUSH ? ?"),
        ("PIPELINE LPUSH", "LPUSH ? ?"),
    ]
    assert spans()[0].attributes["db.operation.batch.size"] == 2
    assert [data.attributes.get("db.response.status_code") for data in spans()] == [*[None] * 4, "WRONGTYPE", None]


def test_messages_arrive_as_ever_and_only_subscribing_is_a_span(client: Any, spans: Spans) -> None:
    with client.pubsub() as subscription:
        subscription.subscribe("news")
        client.publish("news", "hello")
        messages = [subscription.get_message(timeout=5) for _ in range(2)]
    assert [message["data"] for message in messages] == [1, b"hello"]
    assert [data.name for data in spans()][:2] == ["SUBSCRIBE", "PUBLISH"]


def test_one_client_alone(client: Any, redis_port: int, spans: Spans) -> None:
    integration.uninstrument()
    with redis.Redis(port=redis_port) as other:
        assert integration.instrument(client) is client
        integration.instrument(client)
        other.get("a")
        client.get("a")
        client.pipeline().get("b").get("c").execute()
        with client.pubsub() as subscription:
            subscription.subscribe("news")
        assert [data.name for data in spans()] == ["GET", "MULTI GET", "SUBSCRIBE"]
        integration.instrument()
        client.get("d")
        assert len(spans()) == 4
        integration.uninstrument()
        integration.uninstrument(client)
        client.pipeline().get("b").execute()
        client.get("a")
    assert len(spans()) == 4
    assert not {"execute_command", "pipeline", "pubsub"} & vars(client).keys()


def test_asyncio_commands_are_spans_of_their_tasks_and_a_cancelled_one_says_so(
    client: Any, redis_port: int, spans: Spans
) -> None:
    async def work() -> None:
        async with redis.asyncio.Redis(port=redis_port, db=3) as client:
            with tracer.start_as_current_span("request"):
                await client.set("a", 1)
                async with client.pipeline() as pipeline:
                    assert await pipeline.get("a").get("b").execute() == [b"1", None]
                with pytest.raises(redis.ResponseError):
                    await client.lpush("a", 1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client.blpop("nothing", 30)
                async with client.pubsub() as subscription:
                    await subscription.subscribe("news")
            one = integration.instrument(redis.asyncio.Redis(port=redis_port))
            await asyncio.gather(one.get("a"), one.pipeline().get("b").execute())
            await one.aclose()

    asyncio.run(work())
    request, *found = spans()
    assert [data.name for data in found][:5] == ["SET", "MULTI GET", "LPUSH", "BLPOP", "SUBSCRIBE"]
    assert {data.parent_span_id for data in found[:5]} == {request.span_id}
    assert found[2].attributes["db.response.status_code"] == "WRONGTYPE"
    assert [event.name for event in found[3].events] == ["cancelled"]
    assert found[3].status.status_code is StatusCode.UNSET
    assert sorted(data.name for data in found[5:] if "UNSUB" not in data.name) == ["GET", "MULTI GET"]


def program(port: int) -> list[Any]:
    """Whatever an application may see of redis-py."""
    seen: list[Any] = []
    with redis.Redis(port=port, db=4, decode_responses=True) as client:
        seen += [client.set("a", "1"), client.get("a"), client.incr("a"), client.hset("h", mapping={"x": 1})]
        seen += [client.hgetall("h"), list(client.scan_iter("a*")), client.eval("return 7", 0)]
        seen.append(client.transaction(lambda pipe: pipe.multi() or pipe.get("a"), "a"))
        with client.lock("lock", timeout=5):
            seen.append(client.exists("lock"))
        for wrong in ((), ("NOSUCH", 1), ("GET",), ("SET", "a", object())):
            try:
                client.execute_command(*wrong)
            except Exception as error:
                seen.append((type(error), str(error).partition("0x")[0]))
        client.flushdb()
    return seen


def test_an_application_sees_the_same_with_and_without(redis_port: int, spans: Spans) -> None:
    with_tracing = program(redis_port)
    assert spans()
    integration.uninstrument()
    assert program(redis_port) == with_tracing
