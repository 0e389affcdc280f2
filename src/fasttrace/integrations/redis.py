"""redis-py, sync and asyncio: a CLIENT span for every command, pipeline and subscription (OpenTelemetry, "Redis").

``instrument()`` traces every client of the process, those that exist included, ``instrument(client)`` one. Arguments
are never recorded, keys no more than values: ``db.query.text`` is ``SET ? ?``. Reading the messages of a subscription
is waiting, and no span.
"""

from __future__ import annotations

import sys

import redis
import redis.asyncio
import redis.asyncio.client
import redis.client

from fasttrace.context import current_node
from fasttrace.integrations._database import Database, Options, database_tracer, run, run_async
from fasttrace.integrations._patch import replace, restore
from fasttrace.integrations._statement import Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["instrument", "uninstrument"]

_TRACER = database_tracer("fasttrace.integrations.redis")
_KNOWN = "_fasttrace_database"
_MAX_ARGUMENTS = 10
_MAX_COMMANDS = 20
_MAX_KNOWN = 1_000
# Commands that are two words in one argument.
_CONTAINERS = frozenset(
    (
        *("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE"),
        *("OBJECT", "PUBSUB", "SCRIPT", "SENTINEL", "SLOWLOG", "XGROUP", "XINFO"),
    )
)


def instrument(client: Any = None) -> Any:
    """Trace every client of the process, or one (with its pipelines and subscriptions), which it gives back.

    Calling it again changes nothing.
    """
    options = Options()
    if client is None:
        for owner, name, make in _METHODS:
            replace(owner, name, make, options)
        return None
    is_async = isinstance(client, redis.asyncio.Redis)
    replace(client, "execute_command", _command_async if is_async else _command, options)
    for name in ("pipeline", "pubsub"):
        replace(client, name, _maker, options)
    return client


def uninstrument(client: Any = None) -> Any:
    """Undo ``instrument`` for one client, or the process-wide one. Calling it again changes nothing."""
    if client is None:
        for owner, name, _ in _METHODS:
            restore(owner, name)
        return None
    for name in ("execute_command", "pipeline", "pubsub"):
        restore(client, name)
    return client


def _command(original: Any, patch: Any) -> Any:
    def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        database = _database(self, patch)
        if database is None or not args:
            return original(self, *args, **options)
        return run(database, (args[0], len(args)), original, (self, *args), options)

    return execute_command


def _command_async(original: Any, patch: Any) -> Any:
    async def execute_command(self: Any, *args: Any, **options: Any) -> Any:
        database = _database(self, patch)
        if database is None or not args:
            return await original(self, *args, **options)
        return await run_async(database, (args[0], len(args)), original, (self, *args), options)

    return execute_command


def _pipeline(original: Any, patch: Any) -> Any:
    def execute(self: Any, *args: Any, **options: Any) -> Any:
        database = _database(self, patch)
        if database is None or not self.command_stack:
            return original(self, *args, **options)
        return run(database, _Batch(self), original, (self, *args), options)

    return execute


def _pipeline_async(original: Any, patch: Any) -> Any:
    async def execute(self: Any, *args: Any, **options: Any) -> Any:
        database = _database(self, patch)
        if database is None or not self.command_stack:
            return await original(self, *args, **options)
        return await run_async(database, _Batch(self), original, (self, *args), options)

    return execute


def _maker(original: Any, patch: Any) -> Any:
    """For the methods of one client that make others."""

    def make(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, *args, **kwargs)
        if patch.options is not None:
            for owner, name, method in _METHODS:
                if isinstance(made, owner) and name in vars(owner) and owner not in (redis.Redis, redis.asyncio.Redis):
                    replace(made, name, method, patch.options)
        return made

    return make


def _database(client: Any, patch: Any) -> Database | None:
    """The database of a client; None when the command is not traced."""
    if patch.options is None:
        return None
    pool = client.connection_pool
    found: Database | None = vars(pool).get(_KNOWN)
    if found is None:
        known = pool.connection_kwargs
        address, port = known.get("host") or known.get("path"), known.get("port")
        namespace = str(known.get("db") or 0)
        found = Database(_TRACER, "redis", namespace, address, port, _COMMANDS, _prefix)
        # A worker of celery's looks after its queues all the time, in the name of no request.
        found.quiet = _caller().startswith("kombu.")
        vars(pool)[_KNOWN] = found
    return None if found.quiet and current_node() is None else found


def _caller() -> str:
    """The module that uses a client."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name: str = frame.f_globals.get("__name__", "")
        if not name.startswith(("redis.", __name__)):
            return name
        frame = frame.f_back
    return ""


def _prefix(error: Exception) -> str:
    """The word that an error begins with, as Redis has them: ``WRONGTYPE``."""
    code = getattr(error, "status_code", None)
    if isinstance(code, str):
        return code
    if not isinstance(error, redis.ResponseError):
        return ""
    word = str(error).rpartition("caused error: ")[2].partition(" ")[0]  # of a pipeline
    return word if word.isalpha() and word.isupper() and len(word) <= 20 else ""


class _Batch:
    """The commands of a pipeline, looked at when its span records."""

    __slots__ = ("pipeline",)

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline


class _Commands:
    """What may be known of commands, by their first argument and how many there are; or of a batch of them."""

    __slots__ = ("_known", "known")

    def __init__(self) -> None:
        self._known: dict[Any, Statement] = {}
        self.known = self._known.get

    def of(self, query: Any) -> Statement:
        if type(query) is _Batch:
            return self._batch(query.pipeline)
        found = self._known.get(query)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            name, text = _read(*query)
            found = self._known[query] = Statement(name, {"db.operation.name": name, "db.query.text": text})
        return found

    def _batch(self, pipeline: Any) -> Statement:
        commands = [self.of((args[0], len(args))) for args, _ in pipeline.command_stack]
        # Of asyncio's pipelines `transaction` is a method.
        transaction = getattr(pipeline, "is_transaction", None) or pipeline.transaction is True
        name = "MULTI" if transaction or pipeline.explicit_transaction else "PIPELINE"
        if len({command.name for command in commands}) == 1:
            name = f"{name} {commands[0].name}"
        lines = [command.attributes["db.query.text"] for command in commands[:_MAX_COMMANDS]]
        text = "\n".join([*lines, "..."] if len(commands) > _MAX_COMMANDS else lines)
        attributes = {"db.operation.name": name, "db.query.text": text}
        return Statement(name, {**attributes, "db.operation.batch.size": len(commands)} if commands[1:] else attributes)


def _read(command: Any, count: int) -> tuple[str, str]:
    """A command's name and its text without arguments, some of which may stand in the first one."""
    words = (command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)).split() or [""]
    length = 2 if words[0].upper() in _CONTAINERS and words[1:] else 1
    name = " ".join(words[:length])[:40] or "command"
    arguments = count - 1 + len(words) - length
    return name, name + " ?" * min(arguments, _MAX_ARGUMENTS) + (" ..." if arguments > _MAX_ARGUMENTS else "")


_COMMANDS = _Commands()
_METHODS = (
    (redis.Redis, "execute_command", _command),
    (redis.client.Pipeline, "immediate_execute_command", _command),
    (redis.client.Pipeline, "execute", _pipeline),
    (redis.client.PubSub, "execute_command", _command),
    (redis.asyncio.Redis, "execute_command", _command_async),
    (redis.asyncio.client.Pipeline, "immediate_execute_command", _command_async),
    (redis.asyncio.client.Pipeline, "execute", _pipeline_async),
    (redis.asyncio.client.PubSub, "execute_command", _command_async),
)
