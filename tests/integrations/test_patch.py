"""What replaces a library's function looks like it, and goes without a trace, or without an effect."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from fasttrace.integrations._patch import Patch, replace, replaced, restore

calls: list[str] = []


class Base:
    def inherited(self) -> str:
        return "inherited"


class Client(Base):
    """A library's client."""

    def send(self, body: bytes, *, timeout: float = 1.0) -> bytes:
        """Send a body."""
        return body

    async def receive(self, size: int) -> bytes:
        return b"x" * size

    @staticmethod
    def parse(text: str) -> str:
        return text

    @classmethod
    def make(cls) -> Client:
        return cls()


def around(original: Any, patch: Patch) -> Any:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if patch.options is not None:
            calls.append(patch.options)
        return original(*args, **kwargs)

    return wrapper


def around_async(original: Any, patch: Patch) -> Any:
    async def wrapper(self: Any, *args: Any) -> Any:
        if patch.options is not None:
            calls.append(patch.options)
        return await original(self, *args)

    return wrapper


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    calls.clear()
    yield
    for name in ("send", "receive", "parse", "make", "inherited"):
        restore(Client, name)


def test_wrapper_looks_like_what_it_replaces() -> None:
    original = Client.send
    replace(Client, "send", around, "on")
    wrapper = Client.send
    assert wrapper is Client.send and wrapper is not original
    assert (wrapper.__name__, wrapper.__qualname__, wrapper.__module__) == ("send", "Client.send", __name__)
    assert wrapper.__doc__ == "Send a body."
    assert wrapper.__wrapped__ is original  # type: ignore[attr-defined]
    assert inspect.signature(wrapper) == inspect.signature(original)
    assert inspect.signature(Client().send).parameters.keys() == {"body", "timeout"}
    assert pickle.loads(pickle.dumps(Patch)) is Patch
    assert Client().send(b"1", timeout=2) == b"1"
    assert calls == ["on"]


def test_coroutine_functions_stay_ones() -> None:
    replace(Client, "receive", around_async, "on")
    assert inspect.iscoroutinefunction(Client.receive)
    assert asyncio.run(Client().receive(2)) == b"xx"
    assert calls == ["on"]


def test_replacing_again_changes_nothing_and_once_undone_all_is_as_before() -> None:
    before = vars(Client)["send"]
    replace(Client, "send", around, "on")
    wrapper = Client.send
    replace(Client, "send", around, "again")
    assert Client.send is wrapper and replaced(Client, "send")
    Client().send(b"")
    assert calls == ["on"]
    restore(Client, "send")
    restore(Client, "send")
    assert vars(Client)["send"] is before and not replaced(Client, "send")


def test_static_class_and_inherited_methods_and_module_functions() -> None:
    module = ModuleType("library")
    module.connect = len  # type: ignore[attr-defined]
    before = (vars(Client)["parse"], vars(Client)["make"])
    for owner, name in [(Client, "parse"), (Client, "make"), (Client, "inherited"), (module, "connect")]:
        replace(owner, name, around, name)
    assert Client.parse("a") == Client().parse("a") == "a"
    assert type(Client.make()) is type(Client().make()) is Client
    assert Client().inherited() == "inherited" and Base().inherited() == "inherited"
    assert module.connect("abc") == 3
    assert calls == ["parse", "parse", "make", "make", "inherited", "connect"]
    for owner, name in [(Client, "parse"), (Client, "make"), (Client, "inherited"), (module, "connect")]:
        restore(owner, name)
    assert before == (vars(Client)["parse"], vars(Client)["make"])
    assert "inherited" not in vars(Client)
    assert module.connect is len


@pytest.mark.parametrize("keeps_names", [True, False])
def test_another_s_wrapper_around_ours_stays_and_ours_does_nothing(keeps_names: bool) -> None:
    before = Client.send
    replace(Client, "send", around, "ours")
    ours = Client.send

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append("theirs")
        return ours(self, *args, **kwargs)

    if keeps_names:
        theirs = functools.wraps(ours)(theirs)
    Client.send = theirs  # type: ignore[method-assign]
    try:
        replace(Client, "send", around, "a second time")
        Client().send(b"")
        assert calls == ["theirs", "ours"]
        restore(Client, "send")
        assert Client.send is theirs
        Client().send(b"")
        assert calls == ["theirs", "ours", "theirs"]
        replace(Client, "send", around, "anew")
        Client().send(b"")
        assert calls[3:] == ["anew", "theirs"]
        restore(Client, "send")
        assert Client.send is theirs
    finally:
        Client.send = before  # type: ignore[method-assign]


def test_what_somebody_put_back_by_hand_can_be_replaced_again() -> None:
    before = Client.send
    replace(Client, "send", around, "first")
    Client.send = before  # type: ignore[method-assign]
    assert not replaced(Client, "send")
    replace(Client, "send", around, "second")
    Client().send(b"")
    assert calls == ["second"]


def test_one_object_alone_can_be_changed_and_is_not_kept_alive() -> None:
    import gc
    import weakref

    client, other = Client(), Client()
    for _ in range(2):
        replace(client, "send", around, "one")
    assert client.send(b"a") == other.send(b"a") == b"a"
    assert calls == ["one"]
    restore(client, "send")
    restore(client, "send")
    assert vars(client) == {}
    replace(client, "send", around, "one")
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
