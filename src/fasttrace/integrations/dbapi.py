"""Any DB-API 2.0 driver (PEP 249): a CLIENT span for every statement (OpenTelemetry, "Database client spans").

``instrument(module)`` traces what ``module.connect`` opens from then on, ``instrument(connection)`` gives a traced
connection, ``wrap_connect`` a traced ``connect``. Connections and cursors are stand-ins that pass for what they stand
for, but to C code; ``__wrapped__`` is the driver's own.
"""

from __future__ import annotations

from functools import partial, update_wrapper
from types import ModuleType

from fasttrace.integrations._database import Database, Options, Switch, database_tracer, run
from fasttrace.integrations._patch import replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["TracedConnection", "TracedCursor", "instrument", "uninstrument", "wrap_connect"]

_TRACER = database_tracer("fasttrace.integrations.dbapi")
# `db.system.name` by the first part of a driver's name.
_SYSTEMS = {
    "MySQLdb": "mysql",
    "cx_Oracle": "oracle.db",
    "duckdb": "duckdb",
    "mariadb": "mariadb",
    "mysql": "mysql",
    "oracledb": "oracle.db",
    "pg8000": "postgresql",
    "psycopg2": "postgresql",
    "pymssql": "microsoft.sql_server",
    "pymysql": "mysql",
    "sqlite3": "sqlite",
}
_SHORTCUTS = frozenset(("execute", "executemany", "executescript"))


class _StandIn:
    """Passes for what it wraps."""

    __slots__ = ("__weakref__", "__wrapped__", "_database", "_switch")

    def __init__(self, wrapped: Any, database: Database, switch: Any) -> None:
        for name, value in (("__wrapped__", wrapped), ("_database", database), ("_switch", switch)):
            object.__setattr__(self, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return bool(self.__wrapped__ == getattr(other, "__wrapped__", other))

    def __hash__(self) -> int:
        return hash(self.__wrapped__)

    def __iter__(self) -> Any:
        return iter(self.__wrapped__)

    def __next__(self) -> Any:
        return next(self.__wrapped__)

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    def __exit__(self, *exception: Any) -> Any:
        return self.__wrapped__.__exit__(*exception)

    def _run(self, name: str, query: Any, args: Any, kwargs: Any, parameters: Any = None, batch: bool = False) -> Any:
        function, options = getattr(self.__wrapped__, name), self._switch.options
        if options is None:
            result = function(*args, **kwargs)
        else:
            parameters = parameters if batch or options.capture_parameters else None
            result = run(self._database, query, function, args, kwargs, parameters, batch)
        return self if result is self.__wrapped__ else result


class TracedConnection(_StandIn):
    """A connection whose cursors are traced."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        return partial(self._shortcut, name) if name in _SHORTCUTS else value

    def _shortcut(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What some drivers have on connections, too."""
        cursor = self.cursor()
        result = getattr(cursor, name)(*args, **kwargs)
        return cursor if result is cursor.__wrapped__ else result

    def cursor(self, *args: Any, **kwargs: Any) -> TracedCursor:
        """A traced cursor."""
        return TracedCursor(self.__wrapped__.cursor(*args, **kwargs), self._database, self._switch)

    def commit(self, *args: Any, **kwargs: Any) -> Any:
        """Commit; a span of its own with ``transactions``."""
        return self._end("commit", args, kwargs)

    def rollback(self, *args: Any, **kwargs: Any) -> Any:
        """Roll back; a span of its own with ``transactions``."""
        return self._end("rollback", args, kwargs)

    def _end(self, name: str, args: Any, kwargs: Any) -> Any:
        options = self._switch.options
        if options is None or not options.transactions:
            return getattr(self.__wrapped__, name)(*args, **kwargs)
        return self._run(name, name.upper(), args, kwargs)


class TracedCursor(_StandIn):
    """A cursor whose statements are traced."""

    __slots__ = ()

    def execute(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute one statement, traced."""
        return self._run("execute", operation, (operation, *args), kwargs, args[0] if args else None)

    def executemany(self, operation: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute one statement with many sets of parameters, traced as one."""
        return self._run("executemany", operation, (operation, *args), kwargs, args[0] if args else None, True)

    def callproc(self, procname: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a stored procedure, traced."""
        return self._run("callproc", f"CALL {procname}", (procname, *args), kwargs, args[0] if args else None)

    def __getattr__(self, name: str) -> Any:
        if name == "executescript":
            return self._executescript
        return getattr(self.__wrapped__, name)

    def _executescript(self, script: Any) -> Any:
        return self._run("executescript", script, (script,), {})


def instrument(
    target: Any,
    *,
    system: str | None = None,
    namespace: str | None = None,
    address: str | None = None,
    port: int | None = None,
    capture_parameters: bool = False,
    transactions: bool = False,
) -> Any:
    """Trace what a driver's module opens from now on, or one connection: gives the module, or a traced connection.

    ``system`` is OpenTelemetry's ``db.system.name``, by default as the driver's name has it; ``namespace``, ``address``
    and ``port`` say which database, where the arguments of ``connect`` do not. ``capture_parameters`` records the
    values of statements, ``transactions`` makes spans of commits and rollbacks, too. Calling it again changes nothing.
    """
    options = Options(capture_parameters, transactions)
    known = {"namespace": namespace, "address": address, "port": port}
    if isinstance(target, ModuleType):
        replace(target, "connect", _connect(_system(system, target.__name__), known), options)
        return target
    if type(target) is TracedConnection:
        return target
    database = Database(_TRACER, _system(system, type(target).__module__), **known)  # type: ignore[arg-type]
    return TracedConnection(target, database, Switch(options))


def uninstrument(target: Any) -> Any:
    """Undo ``instrument``, for connections that exist, too. Gives the module, or the driver's own connection."""
    if isinstance(target, ModuleType):
        restore(target, "connect")
        return target
    if type(target) is not TracedConnection:
        return target
    if type(target._switch) is Switch:
        target._switch.options = None
    return target.__wrapped__


def wrap_connect(
    connect: Callable[..., Any],
    *,
    system: str | None = None,
    namespace: str | None = None,
    address: str | None = None,
    port: int | None = None,
    capture_parameters: bool = False,
    transactions: bool = False,
) -> Callable[..., TracedConnection]:
    """A ``connect`` like the one given, whose connections are traced; the options are those of ``instrument``."""
    known = {"namespace": namespace, "address": address, "port": port}
    switch = Switch(Options(capture_parameters, transactions))
    return update_wrapper(_connect(_system(system, connect.__module__), known)(connect, switch), connect)


def _connect(system: str, known: dict[str, Any]) -> Callable[[Any, Any], Callable[..., Any]]:
    def make(original: Any, switch: Any) -> Callable[..., Any]:
        def connect(*args: Any, **kwargs: Any) -> Any:
            connection = original(*args, **kwargs)
            if switch.options is None:
                return connection
            return TracedConnection(connection, Database(_TRACER, system, **_named(kwargs, known)), switch)

        return connect

    return make


def _named(kwargs: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Which database the arguments of ``connect`` name, where it is not known already."""
    namespace = kwargs.get("database") or kwargs.get("dbname") or kwargs.get("db")
    address, port = kwargs.get("host") or kwargs.get("server"), kwargs.get("port")
    return {
        "namespace": known["namespace"] or (namespace if isinstance(namespace, str) else None),
        "address": known["address"] or (address if isinstance(address, str) else None),
        "port": known["port"] or (int(str(port)) if str(port).isdecimal() else None),
    }


def _system(system: str | None, module: str | None) -> str:
    return system or _SYSTEMS.get((module or "").partition(".")[0], "other_sql")
