"""SQLAlchemy, sync and async: one span a statement, whatever is below it, and the wait for the pool is a span."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Spans

import fasttrace
from fasttrace._core.types import SpanData, SpanKind, StatusCode
from fasttrace.integrations import sqlite3 as sqlite3_integration
from fasttrace.local.waits import is_pool_wait, pool_name, pool_size, pool_waiters

sqlalchemy = pytest.importorskip("sqlalchemy")
integration = pytest.importorskip("fasttrace.integrations.sqlalchemy")
psycopg_integration = pytest.importorskip("fasttrace.integrations.psycopg")

event, text = sqlalchemy.event, sqlalchemy.text
Postgres = dict[str, Any]
tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    made = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/shop.db", pool_size=1, max_overflow=0, pool_timeout=20)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT)"))
    yield made
    made.dispose()


def url(postgres: Postgres, driver: str = "psycopg") -> str:
    return f"postgresql+{driver}://shop@127.0.0.1:{postgres['port']}/postgres"


def statements(spans: Spans) -> list[SpanData]:
    return [data for data in spans() if data.kind is SpanKind.CLIENT]


def waits(spans: Spans) -> list[SpanData]:
    return [data for data in spans() if is_pool_wait(data)]


def test_a_statement_is_a_client_span_without_its_values(engine: Any, spans: Spans, tmp_path: Path) -> None:
    with tracer.start_as_current_span("request"), engine.begin() as connection:
        connection.execute(text("INSERT INTO orders VALUES (1, :email)"), {"email": "bob@example.org"})
        assert connection.execute(text("SELECT email FROM orders WHERE id = 1")).scalar() == "bob@example.org"
    request, insert, select = spans()
    assert [insert.name, select.name] == ["INSERT orders", "SELECT orders"]
    assert (select.kind, select.parent_span_id) == (SpanKind.CLIENT, request.span_id)
    assert select.attributes == {
        "db.system.name": "sqlite",
        "db.namespace": f"{tmp_path}/shop.db",
        "db.operation.name": "SELECT",
        "db.collection.name": "orders",
        "db.query.text": "SELECT email FROM orders WHERE id = ?",
    }


def test_rows_that_sqlite_has_not_counted_are_not_counted(engine: Any, spans: Spans) -> None:
    with engine.begin() as connection:
        assert connection.execute(text("INSERT INTO orders VALUES (1, 'x') RETURNING id")).scalars().all() == [1]
    (insert,) = statements(spans)
    assert "db.response.returned_rows" not in insert.attributes


def test_a_driver_that_refuses_to_count_its_rows_has_its_statement_executed(
    postgres: Postgres, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(cursor: Any) -> int:
        raise AttributeError("rowcount")

    made = sqlalchemy.create_engine(url(postgres))
    with made.connect() as connection:
        monkeypatch.setattr(psycopg_integration.psycopg.Cursor, "rowcount", property(refuse))
        assert connection.execute(text("SELECT 17")).scalar() == 17
    made.dispose()
    assert statements(spans)[-1].attributes["db.query.text"] == "SELECT ?"


def test_many_sets_of_values_are_one_span_that_counts_them(engine: Any, spans: Spans) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders VALUES (:id, 'x')"), [{"id": n} for n in range(5)])
    (many,) = statements(spans)
    assert many.attributes["db.operation.batch.size"] == 5


def test_an_error_is_wrapped_as_ever_and_its_values_are_not_recorded(engine: Any, spans: Spans) -> None:
    insert = text("INSERT INTO orders VALUES (:id, 'x')")
    with engine.connect() as connection:
        connection.execute(insert, {"id": 7})
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="UNIQUE"):
            connection.execute(insert, {"id": 7})
    good, failed = statements(spans)
    assert good.status.status_code is StatusCode.UNSET
    assert failed.attributes["error.type"] == "sqlite3.IntegrityError"
    assert failed.attributes["db.response.status_code"] == "SQLITE_CONSTRAINT_PRIMARYKEY"
    assert failed.status.description == "IntegrityError"
    assert not failed.events


def test_values_commits_and_rollbacks_are_recorded_when_asked_for(engine: Any, spans: Spans) -> None:
    integration.uninstrument()
    integration.instrument(engine, capture_parameters=True, transactions=True)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders VALUES (:id, 'x')"), {"id": 9})
    names = [data.name for data in statements(spans)]
    assert names[:2] == ["INSERT orders", "COMMIT"]
    assert statements(spans)[0].attributes["db.query.parameter.0"] == "9"
    integration.uninstrument(engine)


@pytest.mark.parametrize("below", [False, True], ids=["plain driver", "instrumented driver"])
def test_one_statement_is_one_span_whatever_the_driver_does(
    engine: Any, postgres: Postgres, spans: Spans, below: bool
) -> None:
    if below:
        sqlite3_integration.instrument()
        psycopg_integration.instrument()
    server = sqlalchemy.create_engine(url(postgres))
    try:
        engine.dispose()  # its connections are from before
        for one in (engine, server):
            with one.connect() as connection:
                connection.execute(text("SELECT 'first'"))
                spans()
                connection.execute(text("SELECT 1 AS one"))
    finally:
        sqlite3_integration.uninstrument()
        psycopg_integration.uninstrument()
        server.dispose()
    found = [data for data in statements(spans) if data.attributes["db.query.text"] == "SELECT ? AS one"]
    assert [data.attributes["db.system.name"] for data in found] == ["sqlite", "postgresql"]
    assert found[1].attributes["server.port"] == postgres["port"]
    assert found[1].attributes["db.response.returned_rows"] == 1
    assert {data.scope.name for data in found} == {"fasttrace.integrations.sqlalchemy"}


def test_other_listeners_see_what_they_saw(engine: Any, spans: Spans) -> None:
    seen: list[str] = []

    def listener(name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: seen.append(name)

    for name in ("before_cursor_execute", "after_cursor_execute", "handle_error"):
        event.listen(engine, name, listener(name))
    event.listen(engine, "do_execute", listener("do_execute"))
    event.listen(engine, "do_execute", lambda cursor, statement, *_: seen.append("done?") or "WHERE" in statement)
    event.listen(engine, "do_execute", listener("not done"))

    def run() -> list[str]:
        seen.clear()
        with engine.connect() as connection:
            connection.execute(text("SELECT id FROM nowhere WHERE id = :a"), {"a": 1})
        with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(text("SELECT id FROM nowhere"))
        return list(seen)

    with_tracing = run()
    assert len(statements(spans)) == 2
    integration.uninstrument()
    assert run() == with_tracing
    assert with_tracing == [
        *("before_cursor_execute", "do_execute", "done?", "after_cursor_execute"),
        *("before_cursor_execute", "do_execute", "done?", "not done", "handle_error"),
    ]


def test_engines_that_exist_are_traced_too(engine: Any, spans: Spans) -> None:
    for change, traced in ((integration.uninstrument, 0), (integration.instrument, 1), (integration.uninstrument, 1)):
        change()
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        assert len(statements(spans)) == traced


def hold(engine: Any) -> threading.Thread:
    """Another thread that has the pool's only connection, until somebody waits for it."""
    taken = threading.Event()

    def work() -> None:
        with engine.connect():
            taken.set()
            deadline = time.monotonic() + 60
            while not vars(engine.pool).get("_fasttrace_waiting") and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    assert taken.wait(60)
    return thread


def test_a_checkout_that_waits_is_a_span_that_the_diagnosis_knows(engine: Any, spans: Spans, tmp_path: Path) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    thread = hold(engine)
    with tracer.start_as_current_span("request"), engine.connect() as connection:
        connection.execute(text("SELECT 1 FROM orders"))
    thread.join()
    (wait,) = waits(spans)
    assert wait.name == "wait for db pool"
    assert pool_name(wait) == f"{tmp_path}/shop.db".lstrip("/")
    assert (pool_size(wait), pool_waiters(wait)) == (1, 1)
    assert wait.attributes["db.client.connection.used"] == 1
    request, statement = (next(data for data in spans() if data.name == name) for name in ("request", "SELECT orders"))
    assert wait.parent_span_id == statement.parent_span_id == request.span_id
    assert wait.end_time_ns <= statement.start_time_ns


def test_a_checkout_that_need_not_wait_is_no_span(engine: Any, spans: Spans) -> None:
    for _ in range(3):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    assert not waits(spans)


def test_a_wait_for_which_another_was_quicker_is_a_span_all_the_same(engine: Any, spans: Spans) -> None:
    thread = hold(engine)
    vars(engine.pool)["_fasttrace_waiting"] = 1  # lets the other thread go on
    engine.pool._pool.qsize = lambda: 1  # as it looks to whoever comes second
    with tracer.start_as_current_span("request"), engine.connect():
        pass
    thread.join()
    (wait,) = waits(spans)
    assert wait.start_time_ns < wait.end_time_ns


def test_a_wait_that_times_out_is_an_error(tmp_path: Path, spans: Spans) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/db", pool_size=1, max_overflow=0, pool_timeout=0.02)
    with engine.connect(), pytest.raises(sqlalchemy.exc.TimeoutError, match="QueuePool limit"):
        engine.connect()
    (wait,) = waits(spans)
    assert wait.status.status_code is StatusCode.ERROR
    assert wait.attributes["error.type"] == "sqlalchemy.exc.TimeoutError"
    engine.dispose()


def test_one_engine_alone_and_after_it_was_disposed_of(engine: Any, tmp_path: Path, spans: Spans) -> None:
    integration.uninstrument()
    assert integration.instrument(engine) is engine
    integration.instrument(engine)
    engine.dispose()
    other = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/other.db")
    for one in (engine, other):
        with one.connect() as connection:
            connection.execute(text("SELECT 1"))
    thread = hold(engine)
    engine.connect().close()
    thread.join()
    assert len(statements(spans)) == len(waits(spans)) == 1
    integration.uninstrument(engine)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert len(statements(spans)) == 1
    assert "_do_get" not in vars(engine.pool)
    other.dispose()


def test_async_statements_and_waits_are_spans_of_their_tasks(postgres: Postgres, spans: Spans) -> None:
    asyncio_ = pytest.importorskip("sqlalchemy.ext.asyncio")
    psycopg_integration.instrument()

    async def task(engine: Any, number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            async with engine.connect() as connection:
                await connection.execute(text(f"SELECT pg_sleep(0.02) AS t{number}"))

    async def work() -> None:
        engine = asyncio_.create_async_engine(url(postgres), pool_size=1, max_overflow=0)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        await asyncio.gather(*(task(engine, number) for number in range(3)))
        with pytest.raises(TimeoutError):
            async with engine.connect() as connection, asyncio.timeout(0.05):
                await connection.execute(text("SELECT pg_sleep(30) AS cancelled"))
        async with engine.connect() as connection:
            with pytest.raises(TimeoutError), tracer.start_as_current_span("impatient"):
                async with asyncio.timeout(0.02):
                    await engine.connect()
        await engine.dispose()

    try:
        asyncio.run(work())
    finally:
        psycopg_integration.uninstrument()
    tasks = {data.span_id for data in spans() if data.name.startswith("task")}
    slept = [data for data in statements(spans) if "AS t" in data.attributes["db.query.text"]]
    assert {data.parent_span_id for data in slept} == tasks and len(slept) == 3
    *waited, impatient = waits(spans)
    assert len(waited) == 2 and {data.parent_span_id for data in waited} < tasks
    assert set(map(pool_waiters, waited)) <= {1, 2}
    assert pool_name(impatient) == f"127.0.0.1:{postgres['port']}/postgres"
    assert [event.name for event in impatient.events] == ["cancelled"]
    (cancelled,) = (data for data in statements(spans) if "cancelled" in data.attributes["db.query.text"])
    assert [event.name for event in cancelled.events] == ["cancelled"]


def test_async_sqlite_has_one_span_a_statement_too(spans: Spans) -> None:
    pytest.importorskip("aiosqlite")
    asyncio_ = pytest.importorskip("sqlalchemy.ext.asyncio")
    sqlite3_integration.instrument()
    integration.uninstrument()

    async def work() -> None:
        engine = asyncio_.create_async_engine("sqlite+aiosqlite://")
        assert integration.instrument(engine) is engine
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1 AS one"))
        integration.uninstrument(engine)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1 AS one"))
        await engine.dispose()

    try:
        asyncio.run(work())
    finally:
        sqlite3_integration.uninstrument()
    assert len([data for data in statements(spans) if data.attributes["db.query.text"] == "SELECT ? AS one"]) == 1
