"""Which library each integration is for, and the way from its name to its file."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from fasttrace import _log, config
from fasttrace.errors import ConfigurationError, MissingLibraryError
from fasttrace.integrations._imports import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# The modules whose import an integration waits for, the library first, and what pip calls that. The name is the file's.
TABLE = {
    "starlette": (("starlette.applications",), "starlette"),
    "fastapi": (("fastapi",), "fastapi"),
    "flask": (("flask",), "flask"),
    "django": (("django.core.handlers.wsgi", "django.core.handlers.asgi"), "django"),
    "uvicorn": (("uvicorn",), "uvicorn"),
    "gunicorn": (("gunicorn.app.base",), "gunicorn"),
    "httpx": (("httpx",), "httpx"),
    "requests": (("requests",), "requests"),
    "aiohttp": (("aiohttp",), "aiohttp"),
    "urllib3": (("urllib3",), "urllib3"),
    "http_client": (("http.client", "urllib.request"), ""),
    "sqlite3": (("sqlite3",), ""),
    "psycopg": (("psycopg",), "psycopg"),
    "psycopg_pool": (("psycopg_pool",), "psycopg_pool"),
    "sqlalchemy": (("sqlalchemy",), "sqlalchemy"),
    "redis": (("redis",), "redis"),
    "celery": (("celery",), "celery"),
    "aiokafka": (("aiokafka",), "aiokafka"),
    "confluent_kafka": (("confluent_kafka",), "confluent-kafka"),
    "grpc": (("grpc",), "grpcio"),
    "logging": (("logging",), ""),
    "structlog": (("structlog",), "structlog"),
    "loguru": (("loguru",), "loguru"),
}
# OpenTelemetry's names, where they are not ours.
_ALIASES = {
    "aiohttp_client": "aiohttp",
    **dict.fromkeys(("grpc_aio_client", "grpc_aio_server", "grpc_client", "grpc_server"), "grpc"),
}

_wanted: set[str] = set()  # when they are imported, if they are not already
_automatic: set[str] = set()  # those of _on that were not named
_on: set[str] = set()


def tell(name: str) -> None:
    """What is done about a library that is traced from now on, since it has been imported; ``_startup`` has its own."""


def instrument(names: Iterable[str], options: Mapping[str, Any]) -> list[str]:
    """``fasttrace.instrument``."""
    chosen = [_known(name) for name in names]
    if not chosen:
        if options:
            raise ConfigurationError(
                f"instrument({', '.join(options)}=...): options belong to a library: name it first"
            )
        return _instrument_imported()
    modules = [_load(name) for name in chosen]
    for name, module in zip(chosen, modules, strict=True):
        _check_options(name, module, options)
    for name, module in zip(chosen, modules, strict=True):
        if options and name in _automatic:
            module.uninstrument()  # what is asked for by name, and how, wins over what came by itself
        module.instrument(**options)
        _automatic.discard(name)
        _on.add(name)
    return chosen


def uninstrument(names: Iterable[str]) -> list[str]:
    """``fasttrace.uninstrument``."""
    chosen = [_known(name) for name in names] or [name for name in TABLE if name in _on or name in _wanted]
    undone = [name for name in chosen if name in _on or name in _wanted]
    for name in chosen:
        for names_of in (_wanted, _automatic, _on):
            names_of.discard(name)
        module = sys.modules.get(_module_of(name))
        if module is not None:
            module.uninstrument()
    return undone


def _instrument_imported() -> list[str]:
    """All that is installed and chosen, each as soon as its library is imported."""
    import os

    found = installed(os.environ)
    for name in found:
        if name not in _wanted:
            _wanted.add(name)
            for module in TABLE[name][0]:
                when_imported(module, partial(_imported, name))
    return found


def installed(environ: Mapping[str, str]) -> list[str]:
    """What instrument() without names traces as soon as it is imported; ConfigurationError for a bad variable."""
    return [name for name in chosen_by(environ) if _installed(name)]


def chosen_by(environ: Mapping[str, str]) -> list[str]:
    """The names that an environment asks for, installed or not."""
    asked = config.from_environment("instrument", environ)
    left_out = {_ours(name) for name in config.from_environment("instrument_not", environ)}
    if "none" in asked or "*" in left_out:
        return []
    return [name for name in TABLE if ("all" in asked or name in asked) and name not in left_out]


def _imported(name: str, module: Any) -> None:
    """A module of the library has just been imported, by the application: nothing is raised into its import."""
    if name not in _wanted or name in _on:
        return
    try:
        _bind(module)
        if any(_half_imported(other) for other in TABLE[name][0] if other != module.__name__):
            return  # it is what imports this one, and calls when it is there
        _load(name).instrument()
        _automatic.add(name)
        _on.add(name)
        tell(name)
    except Exception as error:
        _log.warning(f"instrument {name}", "%s is not traced: %s: %s", name, type(error).__name__, error)


def _bind(module: Any) -> None:
    """Make a module an attribute of its package now, as its import will: what our file imports may look there."""
    package, _, attribute = module.__name__.rpartition(".")
    if package:
        setattr(sys.modules[package], attribute, module)


def _half_imported(module: str) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    return getattr(spec, "_initializing", False)


def _load(name: str) -> Any:
    modules, package = TABLE[name]
    try:
        return import_module(_module_of(name))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == modules[0].partition(".")[0]:
            text = f"instrument({name!r}): {error.name} is not installed: pip install {package}"
            raise MissingLibraryError(text) from error
        raise


def _module_of(name: str) -> str:
    return f"{__name__.rpartition('.')[0]}.{name}"


def _installed(name: str) -> bool:
    try:
        return find_spec(TABLE[name][0][0].partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _ours(name: str) -> str:
    word = name.strip().lower().replace("-", "_").replace(".", "_")
    return _ALIASES.get(word, word)


def _known(name: str) -> str:
    word = _ours(str(name))
    if word in TABLE:
        return word
    from difflib import get_close_matches

    near = get_close_matches(word, TABLE, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(TABLE)}"
    raise ConfigurationError(f"instrument({name!r}): fasttrace has no integration of that name: {hint}")


def _check_options(name: str, module: Any, options: Mapping[str, Any]) -> None:
    if not options:
        return
    from inspect import signature

    taken = list(signature(module.instrument).parameters)
    for option in options:
        if option not in taken:
            raise ConfigurationError(f"instrument({name!r}, {option}=...): it takes {', '.join(taken) or 'no options'}")
