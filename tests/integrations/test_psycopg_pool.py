"""psycopg_pool on a real PostgreSQL: waits for a connection are spans that the diagnosis knows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Spans

import fasttrace
from fasttrace._core.types import SpanData, StatusCode
from fasttrace.local.waits import is_pool_wait, pool_name, pool_size, pool_waiters

psycopg_pool = pytest.importorskip("psycopg_pool")
integration = pytest.importorskip("fasttrace.integrations.psycopg_pool")

tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def pool(postgres: dict[str, Any]) -> Iterator[Any]:
    with psycopg_pool.ConnectionPool(kwargs=postgres, min_size=1, max_size=1, name="orders", timeout=20) as made:
        made.wait(20)
        yield made


def waits(spans: Spans) -> list[SpanData]:
    return [data for data in spans() if is_pool_wait(data)]


def test_a_connection_that_is_waited_for_is_a_span_that_the_diagnosis_knows(pool: Any, spans: Spans) -> None:
    with pool.connection() as first:
        assert first.execute("SELECT 1").fetchone() == (1,)
    assert not waits(spans)
    taken = threading.Event()

    def hold() -> None:
        with pool.connection():
            taken.set()
            deadline = time.monotonic() + 60
            while not pool.get_stats().get("requests_waiting") and time.monotonic() < deadline:
                time.sleep(0.005)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(60)
    with tracer.start_as_current_span("request") as request, pool.connection() as second:
        assert second is first
        assert fasttrace.current_span() is request
    thread.join()
    (wait,) = waits(spans)
    assert (wait.name, wait.parent_span_id) == ("wait for db pool", request.span_id_hex)
    assert (pool_name(wait), pool_size(wait), pool_waiters(wait)) == ("orders", 1, 1)
    assert wait.attributes["db.client.connection.used"] == 1


def test_a_wait_that_times_out_is_an_error_and_one_pool_may_be_traced_alone(pool: Any, spans: Spans) -> None:
    integration.uninstrument()
    assert integration.instrument(pool) is pool
    integration.instrument()
    with pool.connection(), pytest.raises(psycopg_pool.PoolTimeout):
        pool.getconn(timeout=0.02)
    (wait,) = waits(spans)
    assert wait.status.status_code is StatusCode.ERROR
    assert wait.attributes["error.type"] == "psycopg_pool.PoolTimeout"
    integration.uninstrument()
    integration.uninstrument(pool)
    with pool.connection(), pytest.raises(psycopg_pool.PoolTimeout):
        pool.getconn(timeout=0.02)
    assert len(waits(spans)) == 1
    pool.close()
    with pytest.raises(psycopg_pool.PoolClosed):
        pool.getconn()


def test_async_waits_are_spans_of_their_tasks_and_a_cancelled_one_says_so(
    postgres: dict[str, Any], spans: Spans
) -> None:
    async def task(pool: Any, number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            async with pool.connection():
                await asyncio.sleep(0.01)

    async def work() -> None:
        async with psycopg_pool.AsyncConnectionPool(kwargs=postgres, min_size=1, max_size=1, open=False) as pool:
            await pool.wait(20)
            await asyncio.gather(*(task(pool, number) for number in range(3)))
            async with pool.connection():
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await pool.getconn()

    asyncio.run(work())
    tasks = {data.span_id for data in spans() if data.name.startswith("task")}
    *waited, cancelled = waits(spans)
    assert len(waited) == 2 and {data.parent_span_id for data in waited} < tasks
    assert [event.name for event in cancelled.events] == ["cancelled"]


def test_a_pool_that_keeps_no_connections_waits_at_its_limit_only(postgres: dict[str, Any], spans: Spans) -> None:
    with psycopg_pool.NullConnectionPool(kwargs=postgres, max_size=1) as pool:
        with pool.connection():
            assert not waits(spans)
            with pytest.raises(psycopg_pool.PoolTimeout):
                pool.getconn(timeout=0.02)
    assert len(waits(spans)) == 1
