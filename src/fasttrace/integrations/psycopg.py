"""psycopg 3, sync and async: a CLIENT span for every statement (OpenTelemetry, "Database client spans").

``instrument()`` traces every connection of the process, those that exist included, ``instrument(connection)`` one.
Streams and COPY are one span, from their start to their end, and not current while the application has its turn. In a
pipeline, a span ends when its statement is on its way.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, contextmanager

import psycopg
from psycopg.sql import Composable

from fasttrace.integrations._database import (
    Database,
    Options,
    Switch,
    database_tracer,
    describe,
    inside,
    note_error,
    run,
    run_async,
    statement_span,
    status_code,
)
from fasttrace.integrations._patch import replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Any

    from fasttrace._core import Span

__all__ = ["instrument", "uninstrument"]

_TRACER = database_tracer("fasttrace.integrations.psycopg")
_KNOWN = "_fasttrace_database"
_FACTORIES = "_fasttrace_factories"


def instrument(connection: Any = None, *, capture_parameters: bool = False, transactions: bool = False) -> Any:
    """Trace every connection of the process, or the cursors that one makes from now on; gives the connection.

    ``capture_parameters`` records the values of statements, ``transactions`` makes spans of ``commit()`` and
    ``rollback()``, too. Calling it again changes nothing.
    """
    options = Options(capture_parameters, transactions)
    if connection is not None:
        return _instrument_one(connection, Switch(options))
    for kinds, methods in ((_CURSORS, _METHODS), (_ASYNC_CURSORS, _ASYNC_METHODS)):
        for kind in kinds:
            for name in methods.keys() & vars(kind).keys():
                replace(kind, name, methods[name], options)
    if transactions:
        for name in _ENDS:
            replace(psycopg.Connection, name, _end, options)
            replace(psycopg.AsyncConnection, name, _end_async, options)
    return None


def uninstrument(connection: Any = None) -> Any:
    """Undo ``instrument`` for one connection, or the process-wide one. Calling it again changes nothing."""
    if connection is not None:
        factories = vars(connection).pop(_FACTORIES, None)
        if factories is not None:
            factories.pop("switch").options = None
            vars(connection).update(factories)
        for name in _ENDS:
            restore(connection, name)
        return connection
    for kinds, methods in ((_CURSORS, _METHODS), (_ASYNC_CURSORS, _ASYNC_METHODS)):
        for kind in kinds:
            for name in methods:
                restore(kind, name)
    for name in _ENDS:
        restore(psycopg.Connection, name)
        restore(psycopg.AsyncConnection, name)
    return None


def _instrument_one(connection: Any, switch: Switch) -> Any:
    if _FACTORIES in vars(connection):
        return connection
    is_async = isinstance(connection, psycopg.AsyncConnection)
    methods = _ASYNC_METHODS if is_async else _METHODS
    factories: dict[str, Any] = {"switch": switch}
    for name in ("cursor_factory", "server_cursor_factory"):
        kind = factories[name] = getattr(connection, name)
        if isinstance(kind, type):
            traced = {method: make(getattr(kind, method), switch) for method, make in methods.items()}
            setattr(connection, name, type(kind.__name__, (kind,), {"__module__": kind.__module__, **traced}))
    setattr(connection, _FACTORIES, factories)
    if switch.options is not None and switch.options.transactions:
        for name in _ENDS:
            replace(connection, name, _end_async if is_async else _end, switch.options)
    return connection


def _database(connection: Any) -> Database:
    found: Database | None = connection.__dict__.get(_KNOWN)
    if found is not None:
        return found
    system = "cockroachdb" if "crdb" in type(connection).__module__ else "postgresql"
    try:
        info = connection.info
        found = Database(_TRACER, system, info.dbname, info.host or None, info.port)
    except psycopg.Error:  # closed; psycopg says so itself
        return Database(_TRACER, system)
    connection.__dict__[_KNOWN] = found
    return found


class _Composed:
    """A statement of ``psycopg.sql``, whose text needs the cursor's connection."""

    __slots__ = ("_cursor", "_query")

    def __init__(self, cursor: Any, query: Any) -> None:
        self._cursor = cursor
        self._query = query

    def as_string(self, _: Any) -> str:
        return str(self._query.as_string(self._cursor))


def _readable(cursor: Any, query: Any) -> Any:
    return query if type(query) is str or not isinstance(query, Composable) else _Composed(cursor, query)


def _rows(span: Span, cursor: Any) -> None:
    result = cursor.pgresult
    # A cursor of the server's knows its columns by then, and no rows.
    if result is not None and result.nfields and not isinstance(cursor, _OF_SERVER):
        span.set_attribute("db.response.returned_rows", result.ntuples)


# What replaces a method: given the original and the patch (or switch) that holds the options.


def _execute(original: Any, patch: Any) -> Any:
    def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        options = patch.options
        if options is None:
            return original(self, query, *args, **kwargs)
        values = (args[0] if args else kwargs.get("params")) if options.capture_parameters else None
        return run(
            _database(self.connection),
            _readable(self, query),
            original,
            (self, query, *args),
            kwargs,
            values,
            False,
            _rows,
        )

    return execute


def _execute_async(original: Any, patch: Any) -> Any:
    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        options = patch.options
        if options is None:
            return await original(self, query, *args, **kwargs)
        values = (args[0] if args else kwargs.get("params")) if options.capture_parameters else None
        call = (self, query, *args)
        return await run_async(
            _database(self.connection), _readable(self, query), original, call, kwargs, values, False, _rows
        )

    return execute


def _executemany(original: Any, patch: Any) -> Any:
    def executemany(self: Any, query: Any, params_seq: Any, **kwargs: Any) -> Any:
        if patch.options is None:
            return original(self, query, params_seq, **kwargs)
        return run(
            _database(self.connection),
            _readable(self, query),
            original,
            (self, query, params_seq),
            kwargs,
            params_seq,
            True,
        )

    return executemany


def _executemany_async(original: Any, patch: Any) -> Any:
    async def executemany(self: Any, query: Any, params_seq: Any, **kwargs: Any) -> Any:
        if patch.options is None:
            return await original(self, query, params_seq, **kwargs)
        call = (self, query, params_seq)
        return await run_async(
            _database(self.connection), _readable(self, query), original, call, kwargs, params_seq, True
        )

    return executemany


def _stream(original: Any, patch: Any) -> Any:
    def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _Lasting(self, query, patch):
            yield from original(self, query, *args, **kwargs)

    return stream


def _stream_async(original: Any, patch: Any) -> Any:
    async def stream(self: Any, query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _Lasting(self, query, patch):
            async with aclosing(original(self, query, *args, **kwargs)) as rows:
                async for row in rows:
                    yield row

    return stream


def _copy(original: Any, patch: Any) -> Any:
    @contextmanager
    def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _Lasting(self, statement, patch), original(self, statement, *args, **kwargs) as copying:
            yield copying

    return copy


def _copy_async(original: Any, patch: Any) -> Any:
    @asynccontextmanager
    async def copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _Lasting(self, statement, patch):
            async with original(self, statement, *args, **kwargs) as copying:
                yield copying

    return copy


def _end(original: Any, patch: Any) -> Any:
    statement = patch.name.upper()

    def end(self: Any) -> Any:
        return original(self) if patch.options is None else run(_database(self), statement, original, (self,), {})

    return end


def _end_async(original: Any, patch: Any) -> Any:
    statement = patch.name.upper()

    async def end(self: Any) -> Any:
        if patch.options is None:
            return await original(self)
        return await run_async(_database(self), statement, original, (self,), {})

    return end


class _Lasting:
    """The span of a statement with which the application takes its time: never current."""

    __slots__ = ("_cursor", "_patch", "_query", "_span")

    def __init__(self, cursor: Any, query: Any, patch: Any) -> None:
        self._cursor = cursor
        self._query = query
        self._patch = patch
        self._span: Span | None = None

    def __enter__(self) -> None:
        if self._patch.options is None or inside():
            return
        database = _database(self._cursor.connection)
        query = _readable(self._cursor, self._query)
        self._span = span = statement_span(database, query, current=False)
        if span.is_recording():
            describe(span, database, query)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        span = self._span
        if span is not None:
            if error is not None:
                note_error(span, error, status_code)
            span.end()


_OF_SERVER = (psycopg.ServerCursor, psycopg.AsyncServerCursor)
_CURSORS = (psycopg.Cursor, psycopg.ServerCursor)
_ASYNC_CURSORS = (psycopg.AsyncCursor, psycopg.AsyncServerCursor)
_METHODS = {"execute": _execute, "executemany": _executemany, "stream": _stream, "copy": _copy}
_ASYNC_METHODS = {
    "execute": _execute_async,
    "executemany": _executemany_async,
    "stream": _stream_async,
    "copy": _copy_async,
}
_ENDS = ("commit", "rollback")
