"""sqlite3: a CLIENT span for every statement (OpenTelemetry, "Database client spans").

``instrument()`` traces every connection that the process opens from then on, ``instrument(connection)`` gives a traced
one. Rows are computed while they are fetched, which is after the span. A script is one span.
"""

from __future__ import annotations

import os
import sqlite3
import sys

from fasttrace.integrations import dbapi
from fasttrace.integrations._database import Database, Options, database_tracer, run
from fasttrace.integrations._patch import replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]

_TRACER = database_tracer("fasttrace.integrations.sqlite3")
# Our subclasses of the classes of connections and cursors, by those.
_traced_types: dict[type, type] = {}


def instrument(
    connection: sqlite3.Connection | None = None, *, capture_parameters: bool = False, transactions: bool = False
) -> Any:
    """Trace what the process opens from now on, or one connection, of which it gives a traced stand-in.

    ``capture_parameters`` records the values of statements, ``transactions`` makes spans of commits and rollbacks, too.
    Calling it again changes nothing.
    """
    if connection is not None:
        if isinstance(connection, _TracedConnection):
            return connection
        return dbapi.instrument(
            connection,
            namespace=_file(connection),
            capture_parameters=capture_parameters,
            transactions=transactions,
        )
    options = Options(capture_parameters, transactions)
    replace(sqlite3, "connect", _connect, options)
    replace(sqlite3.dbapi2, "connect", _connect, options)
    return None


def uninstrument(connection: Any = None) -> Any:
    """Undo ``instrument``: connections that exist are no longer traced. Of a stand-in, gives the connection itself."""
    if connection is not None:
        return dbapi.uninstrument(connection)
    restore(sqlite3, "connect")
    restore(sqlite3.dbapi2, "connect")
    return None


class _TracedConnection(sqlite3.Connection):
    """What the connection's own class calls."""

    _fasttrace: Any = None  # the patch that made it, and its Database

    def cursor(self, factory: Any = sqlite3.Cursor) -> Any:
        return super().cursor(_traced(factory, _TracedCursor))

    # As sqlite3's own do, these use a plain cursor, whatever `cursor` makes in a class of the user's.

    def execute(self, *args: Any) -> Any:
        return _TracedConnection.cursor(self).execute(*args)

    def executemany(self, *args: Any) -> Any:
        return _TracedConnection.cursor(self).executemany(*args)

    def executescript(self, *args: Any) -> Any:
        return _TracedConnection.cursor(self).executescript(*args)

    def commit(self) -> None:
        self._end("COMMIT", super().commit)

    def rollback(self) -> None:
        self._end("ROLLBACK", super().rollback)

    def __exit__(self, kind: Any, *exception: Any) -> Any:
        if not self.in_transaction:
            return super().__exit__(kind, *exception)
        return self._end("COMMIT" if kind is None else "ROLLBACK", super().__exit__, kind, *exception)

    def _end(self, statement: str, function: Any, *args: Any) -> Any:
        options = _options(self)
        if options is None or not options.transactions:
            return function(*args)
        return run(self._fasttrace[1], statement, function, args, {})


class _TracedCursor(sqlite3.Cursor):
    """What the cursor's own class calls."""

    def execute(self, *args: Any) -> Any:
        return _run(self, super().execute, args, False)

    def executemany(self, *args: Any) -> Any:
        return _run(self, super().executemany, args, True)

    def executescript(self, *args: Any) -> Any:
        return _run(self, super().executescript, args, False)


def _run(cursor: Any, function: Any, args: tuple[Any, ...], batch: bool) -> Any:
    options = _options(cursor.connection)
    if options is None or not args:
        return function(*args)
    parameters = args[1] if len(args) > 1 and (batch or options.capture_parameters) else None
    return run(cursor.connection._fasttrace[1], args[0], function, args, {}, parameters, batch)


def _options(connection: Any) -> Options | None:
    """What was asked for of a connection, None when it is not traced (any more)."""
    traced = getattr(connection, "_fasttrace", None)
    return None if traced is None else traced[0].options


def _traced(kind: Any, mixin: type) -> Any:
    """Our subclass of a class of connections or cursors; anything else that makes some is left alone."""
    if not isinstance(kind, type) or issubclass(kind, mixin):
        return kind
    found = _traced_types.get(kind)
    if found is None:
        namespace = {"__doc__": kind.__doc__, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
        # Behind a class of the user's, whose methods then call ours.
        bases = (mixin,) if issubclass(mixin, kind) else (kind, mixin)
        found = _traced_types[kind] = type(kind.__name__, bases, namespace)
    return found


# Where `factory` stands among the positional arguments of connect.
_FACTORY = 5


def _connect(original: Any, patch: Any) -> Any:
    def connect(*args: Any, **kwargs: Any) -> Any:
        # The threads of aiosqlite know nothing of the task that waits for them.
        if patch.options is None or sys._getframe(1).f_globals.get("__name__") == "aiosqlite.core":
            return original(*args, **kwargs)
        if len(args) > _FACTORY:
            traced = _traced(args[_FACTORY], _TracedConnection)
            connection = original(*args[:_FACTORY], traced, *args[_FACTORY + 1 :], **kwargs)
        else:
            kwargs["factory"] = _traced(kwargs.get("factory", sqlite3.Connection), _TracedConnection)
            connection = original(*args, **kwargs)
        if isinstance(connection, _TracedConnection):
            opened = args[0] if args else kwargs.get("database")
            connection._fasttrace = patch, Database(_TRACER, "sqlite", _name(opened))
        return connection

    return connect


def _name(database: Any) -> str:
    """The file as it was named, of a URI without its query."""
    try:
        name = os.fsdecode(database)
    except TypeError:
        return ""
    return name.partition("?")[0] if name.startswith("file:") else name


def _file(connection: sqlite3.Connection) -> str:
    """The file of a connection that exists."""
    try:
        cursor = sqlite3.Cursor(connection)
        cursor.row_factory = None
        return os.fsdecode(cursor.execute("PRAGMA database_list").fetchone()[2]) or ":memory:"
    except (sqlite3.Error, TypeError):  # another thread's, a closed one
        return ""
