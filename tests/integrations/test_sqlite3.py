"""sqlite3 is itself with and without the integration, and its statements are spans."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Spans

import fasttrace
from fasttrace._core.types import SpanKind, StatusCode
from fasttrace.export import MemoryExporter
from fasttrace.integrations import sqlite3 as integration
from fasttrace.sampling import Rule, Rules

tracer = fasttrace.get_tracer("tests")


@pytest.fixture(autouse=True)
def instrumented() -> Iterator[None]:
    integration.instrument()
    yield
    integration.uninstrument()


@pytest.fixture
def shop() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE orders (id INTEGER PRIMARY KEY, email TEXT UNIQUE)")
    yield connection
    connection.close()


def test_a_statement_is_a_client_span_without_its_values(shop: sqlite3.Connection, spans: Spans) -> None:
    with tracer.start_as_current_span("request"):
        shop.execute("INSERT INTO orders VALUES (1, ?)", ("bob@example.org",))
        assert shop.execute("SELECT email FROM orders WHERE id = 1").fetchall() == [("bob@example.org",)]
    request, insert, select = spans()
    assert [insert.name, select.name] == ["INSERT orders", "SELECT orders"]
    assert select.kind is SpanKind.CLIENT
    assert select.parent_span_id == request.span_id
    assert select.attributes == {
        "db.system.name": "sqlite",
        "db.namespace": ":memory:",
        "db.operation.name": "SELECT",
        "db.collection.name": "orders",
        "db.query.text": "SELECT email FROM orders WHERE id = ?",
    }
    assert select.status.status_code is StatusCode.UNSET


def test_an_error_passes_unchanged_and_its_words_are_not_recorded(shop: sqlite3.Connection, spans: Spans) -> None:
    shop.execute("INSERT INTO orders VALUES (1, 'bob')")
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: orders.email") as raised:
        shop.execute("INSERT INTO orders VALUES (2, 'bob')")
    assert raised.value.__cause__ is None
    failed = spans()[-1]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "IntegrityError"
    assert failed.attributes["error.type"] == "sqlite3.IntegrityError"
    assert failed.attributes["db.response.status_code"] == "SQLITE_CONSTRAINT_UNIQUE"
    assert not failed.events


def test_many_sets_of_values_are_one_span_that_counts_them(shop: sqlite3.Connection, spans: Spans) -> None:
    shop.executemany("INSERT INTO orders VALUES (?, ?)", [(1, "a"), (2, "b"), (3, "c")])
    shop.executemany("INSERT INTO orders VALUES (?, ?)", ((number, None) for number in (4, 5)))
    counted, lazy = spans()[-2:]
    assert counted.attributes["db.operation.batch.size"] == 3
    assert "db.operation.batch.size" not in lazy.attributes
    assert shop.execute("SELECT count(*) FROM orders").fetchone() == (5,)


def test_values_commits_and_rollbacks_are_recorded_when_asked_for(spans: Spans, tmp_path: Path) -> None:
    integration.uninstrument()
    integration.instrument(capture_parameters=True, transactions=True)
    shop = sqlite3.connect(tmp_path / "shop.db")
    shop.execute("CREATE TABLE orders (id INTEGER)")
    with shop:
        shop.execute("INSERT INTO orders VALUES (?)", (7,))
    with pytest.raises(sqlite3.ProgrammingError), shop:
        shop.execute("INSERT INTO orders VALUES (:number)", {"number": 8}).execute("SELECT ?", ())
    shop.execute("INSERT INTO orders VALUES (9)")
    shop.commit()
    shop.close()
    found = spans()
    assert [data.name for data in found] == [
        "CREATE TABLE orders",
        *("INSERT orders", "COMMIT", "INSERT orders", "SELECT", "ROLLBACK", "INSERT orders", "COMMIT"),
    ]
    assert found[1].attributes["db.query.parameter.0"] == "7"
    assert found[3].attributes["db.query.parameter.number"] == "8"
    assert found[1].attributes["db.namespace"] == str(tmp_path / "shop.db")


class Cursor(sqlite3.Cursor):
    seen: list[str] = []

    def execute(self, sql: str, *args: Any) -> Cursor:
        self.seen.append(sql)
        return super().execute(sql, *args)  # type: ignore[return-value]


class Connection(sqlite3.Connection):
    def cursor(self) -> Cursor:  # type: ignore[override]
        return super().cursor(Cursor)


def program() -> list[Any]:
    """Whatever an application may see of sqlite3."""
    seen: list[Any] = []
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    cursor = connection.cursor()
    seen += [type(connection).__name__, type(connection).__module__, isinstance(connection, sqlite3.Connection)]
    seen += [isinstance(cursor, sqlite3.Cursor), cursor.connection is connection]
    seen.append(cursor.execute("CREATE TABLE t (a)") is cursor)
    seen.append(cursor.executemany("INSERT INTO t VALUES (?)", ([n] for n in range(3))).rowcount)
    seen += [tuple(row) for row in cursor.execute("SELECT a FROM t ORDER BY a")]
    seen.append(connection.execute("SELECT :x", {"x": 1}).fetchone().keys())
    seen.append("\n".join(connection.iterdump()))
    target = sqlite3.connect(":memory:")
    connection.backup(target)
    seen.append(target.execute("SELECT count(*) FROM t").fetchone())
    for wrong in (("SELECT",), ("SELECT ?", (1, 2)), (17,), (), ("SELECT 1", (), 2)):
        try:
            connection.execute(*wrong)  # type: ignore[arg-type]
        except Exception as error:
            seen.append((type(error), str(error).replace("Connection.", "").replace("Cursor.", "")))
    own = sqlite3.connect(":memory:", factory=Connection)
    seen += [isinstance(own, Connection), isinstance(own.cursor(), Cursor)]
    own.cursor().execute("SELECT 5")
    connection.close()
    target.close()
    own.close()
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        seen.append(str(error))
    return seen


def test_an_application_sees_the_same_with_and_without(spans: Spans) -> None:
    Cursor.seen.clear()
    with_tracing = [program(), list(Cursor.seen)]
    assert spans()
    integration.uninstrument()
    Cursor.seen.clear()
    assert [program(), Cursor.seen] == with_tracing


def test_uninstrument_silences_connections_that_exist(shop: sqlite3.Connection, spans: Spans) -> None:
    integration.uninstrument()
    shop.execute("SELECT 1").fetchone()
    sqlite3.connect(":memory:").close()
    assert not [data for data in spans() if data.name == "SELECT"]
    assert sqlite3.connect is sqlite3.dbapi2.connect
    assert not hasattr(sqlite3.connect, "__wrapped__")


def test_one_connection_alone(spans: Spans) -> None:
    integration.uninstrument()
    plain, other = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    traced = integration.instrument(plain)
    assert traced is not plain
    assert integration.instrument(traced) is traced
    assert isinstance(traced, sqlite3.Connection)
    with traced:
        traced.execute("CREATE TABLE t (a)")
    other.execute("SELECT 1")
    assert [data.name for data in spans()] == ["CREATE TABLE t"]
    assert spans()[0].attributes["db.namespace"] == ":memory:"
    assert integration.uninstrument(traced) is plain
    traced.execute("SELECT 1")
    assert len(spans()) == 1
    plain.close()
    other.close()


def test_an_interrupted_statement_is_an_error(shop: sqlite3.Connection, spans: Spans) -> None:
    def tick() -> int:
        return 1

    shop.set_progress_handler(tick, 1000)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        shop.execute(endless)
    assert spans()[-1].attributes["db.response.status_code"] == "SQLITE_INTERRUPT"


def test_a_busy_database_is_an_error_with_its_own_code(spans: Spans, tmp_path: Path) -> None:
    first, second = (sqlite3.connect(tmp_path / "db", timeout=0.01, isolation_level=None) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        second.execute("BEGIN EXCLUSIVE")
    assert spans()[-1].attributes["db.response.status_code"] == "SQLITE_BUSY"
    first.close()
    second.close()


def test_threads_have_their_statements_below_their_own_spans(spans: Spans) -> None:
    def work(number: int) -> None:
        with tracer.start_as_current_span(f"thread {number}"):
            connection = sqlite3.connect(":memory:")
            connection.execute(f"CREATE TABLE t{number} (a)")
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {data.name: data for data in spans()}
    for number in range(4):
        assert found[f"CREATE TABLE t{number}"].parent_span_id == found[f"thread {number}"].span_id


def test_unsampled_statements_record_nothing_and_read_nothing(shop: sqlite3.Connection) -> None:
    fasttrace.configure(sampler=0.0)
    statement = f"SELECT id FROM orders WHERE id = {id(shop)}"
    shop.execute(statement)
    from fasttrace.integrations._statement import statements_of

    assert statements_of("sqlite").known(statement) is None
    fasttrace.shutdown(timeout=10)


def test_head_rules_see_the_statement(shop: sqlite3.Connection) -> None:
    exporter = MemoryExporter()
    rules = Rules([Rule(attributes={"db.collection.name": "orders"}, sample=True)], default=False)
    fasttrace.configure(exporter=exporter, sampler=rules)
    shop.execute("SELECT 1")
    shop.execute("SELECT id FROM orders")
    fasttrace.shutdown(timeout=10)
    assert [span.name for span in exporter.spans] == ["SELECT orders"]


def test_aiosqlite_is_left_alone_since_its_threads_know_no_task(spans: Spans) -> None:
    aiosqlite = pytest.importorskip("aiosqlite")

    async def work() -> Any:
        async with aiosqlite.connect(":memory:") as connection:
            async with connection.execute("SELECT 1") as cursor:
                return await cursor.fetchone()

    assert asyncio.run(work()) == (1,)
    assert not spans()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit came with 3.12")
def test_a_factory_may_be_anything_that_makes_connections(spans: Spans) -> None:
    connection = sqlite3.connect(
        ":memory:", autocommit=True, factory=lambda *args, **kwargs: Connection(*args, **kwargs)
    )
    assert type(connection) is Connection
    connection.close()
