"""psycopg on a real PostgreSQL: it is itself with and without the integration, and its statements are spans."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loopback import Spans, wait_for

import fasttrace
from fasttrace._core.types import SpanData, SpanKind, StatusCode

psycopg = pytest.importorskip("psycopg")
integration = pytest.importorskip("fasttrace.integrations.psycopg")

Postgres = dict[str, Any]
tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def shop(postgres: Postgres) -> Iterator[Any]:
    with psycopg.connect(**postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS orders")
        connection.execute("CREATE TABLE orders (id int PRIMARY KEY, email text)")
        connection.execute("INSERT INTO orders SELECT n, 'bob@example.org' FROM generate_series(1, 3) AS n")
        yield connection


def named(spans: Spans, name: str) -> list[SpanData]:
    return [data for data in spans() if data.name == name]


def test_a_statement_is_a_client_span_without_its_values(shop: Any, postgres: Postgres, spans: Spans) -> None:
    with tracer.start_as_current_span("request"):
        rows = shop.execute("SELECT id FROM orders WHERE id < %s AND email <> 'eve'", (3,)).fetchall()
    assert rows == [(1,), (2,)]
    request, select = spans()
    assert (select.name, select.kind, select.parent_span_id) == ("SELECT orders", SpanKind.CLIENT, request.span_id)
    assert select.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "server.address": "127.0.0.1",
        "server.port": postgres["port"],
        "db.operation.name": "SELECT",
        "db.collection.name": "orders",
        "db.query.text": "SELECT id FROM orders WHERE id < %s AND email <> ?",
        "db.response.returned_rows": 2,
    }


def test_composed_statements_and_bytes_are_read_too(shop: Any, spans: Spans) -> None:
    sql = psycopg.sql
    query = sql.SQL("SELECT {} FROM {} WHERE email = {}").format(
        sql.Identifier("id"), sql.Identifier("orders"), sql.Literal("secret")
    )
    assert shop.execute(query).fetchall() == []
    shop.execute(b"SELECT 'secret'")
    composed, plain = spans()
    assert composed.attributes["db.query.text"] == 'SELECT "id" FROM "orders" WHERE email = ?'
    assert composed.name == "SELECT orders"
    assert plain.attributes["db.query.text"] == "SELECT ?"


def test_values_commits_and_rollbacks_are_recorded_when_asked_for(postgres: Postgres, spans: Spans) -> None:
    integration.uninstrument()
    integration.instrument(capture_parameters=True, transactions=True)
    with psycopg.connect(**postgres) as connection:
        connection.execute("SELECT %(a)s::int", {"a": 5})
        connection.rollback()
    assert [data.name for data in spans()] == ["SELECT", "ROLLBACK", "COMMIT"]
    assert spans()[0].attributes["db.query.parameter.a"] == "5"


def test_an_error_is_told_by_type_and_sqlstate_and_never_by_its_words(shop: Any, spans: Spans) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation, match=r"Key \(id\)=\(1\) already exists"):
        shop.execute("INSERT INTO orders VALUES (1, 'x')")
    failed = spans()[-1]
    assert failed.attributes["error.type"] == "psycopg.errors.UniqueViolation"
    assert failed.attributes["db.response.status_code"] == "23505"
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "UniqueViolation"
    assert not failed.events


def test_a_timeout_of_the_server_is_an_error(shop: Any, spans: Spans) -> None:
    shop.execute("SET statement_timeout = 20")
    with pytest.raises(psycopg.errors.QueryCanceled):
        shop.execute("SELECT pg_sleep(30)")
    assert spans()[-1].attributes["db.response.status_code"] == "57014"


def test_many_sets_of_values_are_one_span_that_counts_them(shop: Any, spans: Spans) -> None:
    with shop.cursor() as cursor:
        cursor.executemany("INSERT INTO orders VALUES (%s, 'x')", [(n,) for n in range(10, 14)])
    (many,) = spans()
    assert many.name == "INSERT orders"
    assert many.attributes["db.operation.batch.size"] == 4


def test_a_stream_is_lazy_and_one_span_that_is_not_current_between_rows(shop: Any, spans: Spans) -> None:
    with shop.cursor() as cursor, tracer.start_as_current_span("request") as request:
        rows = cursor.stream("SELECT id FROM orders ORDER BY id")
        assert not named(spans, "SELECT orders")
        assert next(rows) == (1,)
        assert fasttrace.current_span() is request
        rows.close()
        assert fasttrace.current_span() is request
        assert list(cursor.stream("SELECT id FROM orders")) == [(1,), (2,), (3,)]
        with pytest.raises(psycopg.errors.UndefinedTable):
            list(cursor.stream("SELECT * FROM nowhere"))
    left, whole = named(spans, "SELECT orders")
    assert left.status.status_code is whole.status.status_code is StatusCode.UNSET
    assert left.parent_span_id == whole.parent_span_id == request.span_id_hex
    assert named(spans, "SELECT nowhere")[0].attributes["db.response.status_code"] == "42P01"


def test_copy_is_one_span_and_what_the_application_does_meanwhile_is_not_below_it(shop: Any, spans: Spans) -> None:
    with tracer.start_as_current_span("request") as request:
        with shop.cursor() as cursor, cursor.copy("COPY orders FROM STDIN") as copy:
            assert fasttrace.current_span() is request
            copy.write_row((20, "x"))
        with pytest.raises(psycopg.errors.UniqueViolation):
            with shop.cursor() as cursor, cursor.copy("COPY orders FROM STDIN") as copy:
                copy.write_row((20, "x"))
    good, bad = named(spans, "COPY orders")
    assert good.parent_span_id == request.span_id_hex
    assert good.status.status_code is StatusCode.UNSET
    assert bad.attributes["db.response.status_code"] == "23505"
    assert shop.execute("SELECT email FROM orders WHERE id = 20").fetchone() == ("x",)


def test_a_server_side_cursor_is_traced(shop: Any, spans: Spans) -> None:
    with shop.transaction(), shop.cursor("portal") as cursor:
        cursor.execute("SELECT id FROM orders ORDER BY id")
        assert cursor.fetchall() == [(1,), (2,), (3,)]
    (select,) = named(spans, "SELECT orders")
    assert "db.response.returned_rows" not in select.attributes, "none has come yet"


def test_async_statements_are_spans_and_a_cancelled_one_says_so(postgres: Postgres, shop: Any, spans: Spans) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(**postgres, autocommit=True) as connection:
            with tracer.start_as_current_span("request") as request:
                cursor = await connection.execute("SELECT id FROM orders")
                assert len(await cursor.fetchall()) == 3
                await cursor.executemany("INSERT INTO orders VALUES (%s, 'x')", [(30,), (31,)])
                rows = [row async for row in cursor.stream("SELECT count(*) FROM orders")]
                assert rows == [(5,)]
                async with cursor.copy("COPY orders TO STDOUT") as copy:
                    assert fasttrace.current_span() is request
                    assert len([row async for row in copy.rows()]) == 5
                with pytest.raises(psycopg.errors.UndefinedTable):
                    await connection.execute("SELECT * FROM nowhere")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await connection.execute("SELECT pg_sleep(30)")
                assert fasttrace.current_span() is request

    asyncio.run(work())
    request, *found = spans()
    names = ["SELECT orders", "INSERT orders", "SELECT orders", "COPY orders", "SELECT nowhere", "SELECT"]
    assert [data.name for data in found] == names
    assert {data.parent_span_id for data in found} == {request.span_id}
    assert found[0].attributes["db.response.returned_rows"] == 3
    assert found[1].attributes["db.operation.batch.size"] == 2
    assert found[4].attributes["db.response.status_code"] == "42P01"
    assert [event.name for event in found[5].events] == ["cancelled"]
    assert found[5].status.status_code is StatusCode.UNSET


def test_concurrent_tasks_have_their_statements_below_their_own_spans(postgres: Postgres, spans: Spans) -> None:
    async def task(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(**postgres) as connection:
            with tracer.start_as_current_span(f"task {number}"):
                await connection.execute(f"SELECT pg_sleep(0.01) FROM generate_series(1, {number}) AS t{number}")

    async def work() -> None:
        await asyncio.gather(*map(task, range(1, 4)))

    asyncio.run(work())
    tasks = {data.span_id: data for data in spans() if data.name.startswith("task")}
    statements = [data for data in spans() if data.name.startswith("SELECT")]
    assert {data.parent_span_id for data in statements} == set(tasks)
    assert all(
        data.attributes["db.response.returned_rows"] == int(tasks[data.parent_span_id].name[5:]) for data in statements
    )


def test_one_connection_alone(postgres: Postgres, spans: Spans) -> None:
    integration.uninstrument()
    with psycopg.connect(**postgres) as one, psycopg.connect(**postgres) as other:
        factory = one.cursor_factory
        assert integration.instrument(one, transactions=True) is one
        assert integration.instrument(one) is one
        one.execute("SELECT 1")
        other.execute("SELECT 2")
        with one.cursor() as cursor:
            assert isinstance(cursor, psycopg.Cursor)
            cursor.execute("SELECT 3")
        one.commit()
        assert [data.name for data in spans()] == ["SELECT", "SELECT", "COMMIT"]
        integration.uninstrument(one)
        assert one.cursor_factory is factory
        cursor.connection.execute("SELECT 4")
        one.rollback()
    assert len(spans()) == 3


def program(postgres: Postgres) -> list[Any]:
    """Whatever an application may see of psycopg."""
    seen: list[Any] = []
    with psycopg.connect(**postgres) as connection:
        with connection.cursor() as cursor:
            seen += [type(cursor), type(cursor).execute.__name__, cursor.execute("SELECT 1 AS a") is cursor]
            seen += [cursor.fetchall(), cursor.rowcount, cursor.description[0].name]
            seen.append(cursor.executemany("SELECT %s::int", [(1,), (2,)], returning=True))
            seen.append(cursor.fetchall())
        calls: list[Callable[[], Any]] = [
            lambda: connection.execute("SELECT"),
            lambda: connection.execute("SELECT %s", (1, 2)),
            lambda: connection.execute(17),
            lambda: connection.execute("SELECT * FROM nowhere"),
            lambda: connection.execute("SELECT 1"),
        ]
        for call in calls:
            try:
                seen.append(call().fetchall())
            except Exception as error:
                seen.append((type(error), str(error), error.__cause__))
        connection.rollback()
        with connection.pipeline():
            cursor = connection.execute("SELECT 'piped'")
            seen.append(cursor.fetchone())
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        seen.append(str(error))
    return seen


def test_an_application_sees_the_same_with_and_without(postgres: Postgres, spans: Spans) -> None:
    with_tracing = program(postgres)
    assert spans()
    integration.uninstrument()
    assert program(postgres) == with_tracing


def test_a_statement_that_another_thread_cancels_is_an_error(shop: Any, spans: Spans) -> None:
    over = threading.Event()

    def cancel() -> None:
        while not over.wait(0.05):  # what comes before the statement cancels nothing
            shop.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with pytest.raises(psycopg.errors.QueryCanceled):
            shop.execute("SELECT pg_sleep(30)")
    finally:
        over.set()
        thread.join()
    assert wait_for(lambda: named(spans, "SELECT"), 1)[0].attributes["error.type"] == "psycopg.errors.QueryCanceled"
