"""SQLAlchemy 2, sync and async: a CLIENT span for every statement, and a span for every wait for the pool.

``instrument()`` traces every engine of the process, those that exist included, ``instrument(engine)`` one. A statement
has one span, whether its driver is instrumented or not. A checkout that has to wait, since all connections are out, is
a span ``wait for db pool``, which ``fasttrace show`` counts as such; one that need not wait costs next to nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import QueuePool

from fasttrace.integrations._database import Database, Options, database_tracer, run
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations._pool import Waits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from fasttrace._core import Span

__all__ = ["instrument", "uninstrument"]

_TRACER = database_tracer("fasttrace.integrations.sqlalchemy")
_WAITS = Waits("fasttrace.integrations.sqlalchemy.pool")
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_KNOWN = "_fasttrace_database"
_ENDS = ("do_commit", "do_rollback")
# Our handlers, by event and by the class Engine or the dialect of one engine.
_LISTENING = "_fasttrace_handlers"
_for_all: dict[str, Callable[..., Any]] = {}


def instrument(engine: Any = None, *, capture_parameters: bool = False, transactions: bool = False) -> Any:
    """Trace every engine of the process, or one (an ``AsyncEngine``, too), which it gives back.

    ``capture_parameters`` records the values of statements, ``transactions`` makes spans of commits and rollbacks, too,
    those of connections that go back to the pool included. Calling it again changes nothing.
    """
    options = Options(capture_parameters, transactions)
    target = Engine if engine is None else getattr(engine, "sync_engine", engine)
    handlers = _handlers(target)
    if handlers:
        return engine
    handlers.update(_statement_handlers(options))
    if engine is None:
        replace(QueuePool, "_do_get", _checkout, options)
    else:
        handlers["engine_disposed"] = lambda disposed: _watch(disposed.pool, options)
        _watch(target.pool, options)
    for name, handler in handlers.items():
        event.listen(target, name, handler)
    if transactions:
        for name in _ENDS:
            replace(DefaultDialect if engine is None else target.dialect, name, _end, options)
    return engine


def uninstrument(engine: Any = None) -> Any:
    """Undo ``instrument`` for one engine, or the process-wide one. Calling it again changes nothing."""
    target = Engine if engine is None else getattr(engine, "sync_engine", engine)
    handlers = _handlers(target)
    while handlers:
        name, handler = handlers.popitem()
        event.remove(target, name, handler)
    restore(QueuePool if engine is None else target.pool, "_do_get")
    for name in _ENDS:
        restore(DefaultDialect if engine is None else target.dialect, name)
    return engine


def _handlers(target: Any) -> dict[str, Callable[..., Any]]:
    if target is Engine:
        return _for_all
    handlers: dict[str, Callable[..., Any]] = vars(target.dialect).setdefault(_LISTENING, {})
    return handlers


# --- statements


def _statement_handlers(options: Options) -> dict[str, Callable[..., Any]]:
    """What runs a statement in SQLAlchemy's stead, and tells it so."""

    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        values = parameters if options.capture_parameters else None
        return _run("do_execute", do_execute, context, (cursor, statement, parameters, context), values)

    def do_executemany(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        call = (cursor, statement, parameters, context)
        return _run("do_executemany", do_executemany, context, call, parameters, True)

    def do_execute_no_params(cursor: Any, statement: str, context: Any) -> bool:
        return _run("do_execute_no_params", do_execute_no_params, context, (cursor, statement, context))

    return {
        "do_execute": do_execute,
        "do_executemany": do_executemany,
        "do_execute_no_params": do_execute_no_params,
    }


def _run(
    name: str,
    ours: Callable[..., Any],
    context: Any,
    call: tuple[Any, ...],
    values: Any = None,
    batch: bool = False,
) -> bool:
    if context is None:
        return False
    dialect = context.dialect
    # SQLite does not know how many rows there will be, and says 0 of INSERT ... RETURNING.
    note = None if dialect.name == "sqlite" else _rows
    run(_database(context), call[1], _execute, (name, ours, dialect, call), {}, values, batch, note)
    return True


def _execute(name: str, ours: Callable[..., Any], dialect: Any, call: tuple[Any, ...]) -> Any:
    """What SQLAlchemy does once our handler has declined: the handlers after it, then the dialect."""
    after_ours = False
    for handler in getattr(dialect.dispatch, name):
        if after_ours and handler(*call):
            return call[0]
        after_ours = after_ours or handler is ours
    getattr(dialect, name)(*call)
    return call[0]


def _rows(span: Span, cursor: Any) -> None:
    count = cursor.rowcount
    if type(count) is int and 0 <= count < 2**31 and cursor.description:
        span.set_attribute("db.response.returned_rows", count)


def _database(context: Any) -> Database:
    dialect = context.dialect
    found: Database | None = vars(dialect).get(_KNOWN)
    if found is None:
        url = context.root_connection.engine.url
        # SQLite without a file is in memory.
        namespace = url.database or (":memory:" if dialect.name == "sqlite" else None)
        found = Database(_TRACER, _system(dialect), namespace, url.host, url.port)
        vars(dialect)[_KNOWN] = found
    return found


def _system(dialect: Any) -> str:
    name: str = dialect.name
    return _SYSTEMS.get(name, name)


def _end(original: Any, patch: Any) -> Any:
    statement = patch.name.removeprefix("do_").upper()

    def end(dialect: Any, connection: Any) -> Any:
        if patch.options is None:
            return original(dialect, connection)
        database = vars(dialect).get(_KNOWN) or Database(_TRACER, _system(dialect))
        return run(database, statement, original, (dialect, connection), {})

    return end


# --- the pool


def _watch(pool: Any, options: Options) -> None:
    """Others than this one never wait. An engine that is disposed of gets another."""
    if isinstance(pool, QueuePool):
        replace(pool, "_do_get", _checkout, options)


def _checkout(original: Any, patch: Any) -> Any:
    def _do_get(pool: Any) -> Any:
        if patch.options is None:
            return original(pool)
        if pool._overflow >= pool._max_overflow > -1 and not pool._pool.qsize():
            with _WAITS.waiting(pool, _pool_attributes):
                return original(pool)
        # Others may be quicker: then it waits all the same.
        began_ns = _WAITS.now_ns()
        record = original(pool)
        if _WAITS.too_long(began_ns) and record.starttime * 1e9 < began_ns:
            _WAITS.waited(pool, _pool_attributes, began_ns)
        return record

    return _do_get


def _pool_attributes(pool: Any) -> dict[str, Any]:
    database = vars(pool._dialect).get(_KNOWN)
    found = {} if database is None else database.attributes
    address, port = found.get("server.address", ""), found.get("server.port", "")
    name = pool.logging_name or f"{address}:{port}/{found.get('db.namespace', '')}".lstrip(":/")
    return {
        "db.system.name": _system(pool._dialect),
        "db.client.connection.pool.name": name or pool._dialect.name,
        "db.client.connection.max": pool.size() + pool._max_overflow,
        "db.client.connection.used": pool.checkedout(),
    }
