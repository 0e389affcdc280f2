"""The answer of a WSGI application on its way to the server (PEP 3333): its context, its errors, its end."""

from __future__ import annotations

from fasttrace.context import attach, detach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from fasttrace.context import Context, Span
    from fasttrace.integrations._server import Exchange

__all__ = ["body"]


def body(exchange: Exchange | None, node: Context | Span, result: Any, environ: dict[str, Any]) -> Any:
    """The answer as the application made it, with an eye on its end."""
    kind = type(result)
    if kind is list or kind is tuple:
        # No code of the application's runs while it is sent.
        return result if exchange is None else _Blocks(result, exchange)
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(result, wrapper):
        # Servers know it by its class, and then send the file themselves.
        if exchange is not None:
            _watch_close(result, exchange)
        return result
    return _Sized(exchange, node, result) if hasattr(kind, "__len__") else _Body(exchange, node, result)


class _Blocks(list[bytes]):
    """An answer that is there already."""

    __slots__ = ("_exchange",)

    def __init__(self, blocks: Iterable[bytes], exchange: Exchange) -> None:
        list.__init__(self, blocks)
        self._exchange = exchange

    def close(self) -> None:
        self._exchange.finish()


class _Body:
    """An answer that is made while it is sent."""

    __slots__ = ("_exchange", "_iterable", "_next", "_node")

    def __init__(self, exchange: Exchange | None, node: Context | Span, iterable: Iterable[bytes]) -> None:
        self._exchange = exchange
        self._node = node
        self._iterable = iterable
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._next = self._run(iter, self._iterable).__next__
        return self

    def __next__(self) -> bytes:
        if self._next is None:
            self.__iter__()
        node = self._node
        token = attach(node)
        try:
            return self._next()  # type: ignore[misc]
        except StopIteration:
            if self._exchange is not None:
                self._exchange.finish()
            raise
        except BaseException as error:
            if self._exchange is not None:
                self._exchange.fail(error)
            raise
        finally:
            detach(node, token)

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            self._run(close)
        if self._exchange is not None:
            self._exchange.finish()

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        node = self._node
        token = attach(node)
        try:
            return function(*arguments)
        except BaseException as error:
            if self._exchange is not None:
                self._exchange.fail(error)
            raise
        finally:
            detach(node, token)


class _Sized(_Body):
    """One of which the server may ask the number of its blocks."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]


def _watch_close(result: Any, exchange: Exchange) -> None:
    original = getattr(result, "close", None)

    def close() -> None:
        try:
            if original is not None:
                original()
        finally:
            exchange.finish()

    try:
        result.close = close
    except AttributeError:
        exchange.finish()
