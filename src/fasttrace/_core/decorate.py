"""``@tracer.start_as_current_span(...)`` on functions of every kind.

The decorated span is a template: each call gets a fresh one with its arguments. A generator's span is
current only while the generator's own frame runs, so that what consumes it sees its own current span.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from typing import Any


def decorate(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that runs inside a fresh span of the template on every call."""
    import functools
    import inspect

    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(template, function)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(template, function)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(template, function)
    else:
        wrapper = _function(template, function)
    return functools.wraps(function)(wrapper)


def _function(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with template._fresh():
            return function(*args, **kwargs)

    return call


def _coroutine(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with template._fresh():
            return await function(*args, **kwargs)

    return call


def _generator(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = template._fresh()
        span._begin()
        try:
            generator = function(*args, **kwargs)
            step: Callable[..., Any] = generator.send
            sent: Any = None
            while True:
                token = span._attach()
                try:
                    item = step(sent)
                except StopIteration as stop:
                    return stop.value
                finally:
                    span._detach(token)
                try:
                    sent = yield item
                    step = generator.send
                except GeneratorExit:
                    token = span._attach()
                    try:
                        generator.close()
                    finally:
                        span._detach(token)
                    raise
                except BaseException as error:
                    sent, step = error, generator.throw
        except Exception as error:
            span._record(error)
            raise
        finally:
            span.end()

    return call


def _async_generator(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = template._fresh()
        span._begin()
        try:
            generator = function(*args, **kwargs)
            step: Callable[..., Any] = generator.asend
            sent: Any = None
            while True:
                token = span._attach()
                try:
                    item = await step(sent)
                except StopAsyncIteration:
                    return
                finally:
                    span._detach(token)
                try:
                    sent = yield item
                    step = generator.asend
                except GeneratorExit:
                    token = span._attach()
                    try:
                        await generator.aclose()
                    finally:
                        span._detach(token)
                    raise
                except BaseException as error:
                    sent, step = error, generator.athrow
        except Exception as error:
            span._record(error)
            raise
        finally:
            span.end()

    return call
