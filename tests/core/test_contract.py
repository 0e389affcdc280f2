"""Both implementations have what ``abc.py`` says: names, parameters, defaults, docstrings."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from fasttrace import _core
from fasttrace._core import abc
from fasttrace._core.types import InstrumentationScope

MODULES = {
    "ids": abc.Ids,
    "context": abc.ContextModule,
    "headers": abc.Headers,
    "otlp": abc.Otlp,
    "decode": abc.Decode,
    "span": abc.SpanModule,
}
CLASSES = {
    "SpanContext": ("context", abc.SpanContext),
    "Context": ("context", abc.Context),
    "Ring": ("ring", abc.Ring),
    "Store": ("store", abc.Store),
    "Span": ("span", abc.Span),
    "Tracer": ("span", abc.Tracer),
    "Recorder": ("span", abc.Recorder),
}


def functions(protocol: type) -> dict[str, Any]:
    return {
        name: item
        for name, item in vars(protocol).items()
        if inspect.isfunction(item) and (not name.startswith("_") or name in ("__enter__", "__exit__", "__call__"))
    }


def parameters(function: Any, is_method: bool) -> list[tuple[str, Any]]:
    found = list(inspect.signature(function).parameters.values())
    if is_method:
        found = found[1:]
    return [(item.name, item.default) for item in found]


CASES = [
    *[(f"{module}.{name}", module, None, name) for module, protocol in MODULES.items() for name in functions(protocol)],
    *[(f"{cls}.{name}", module, cls, name) for cls, (module, p) in CLASSES.items() for name in functions(p)],
]


@pytest.mark.parametrize(("module", "cls", "name"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_parameters_and_docstrings_are_the_contracts(core: Any, module: str, cls: str | None, name: str) -> None:
    owner = getattr(core, module)
    protocol = MODULES[module] if cls is None else CLASSES[cls][1]
    if cls is not None:
        owner = getattr(owner, cls)
    found, contract = getattr(owner, name), vars(protocol)[name]
    if type(found).__name__ == "wrapper_descriptor":
        return  # a slot of the type: it has no signature to compare
    assert parameters(found, cls is not None) == parameters(contract, True)
    if contract.__doc__ and not name.startswith("__"):
        assert inspect.getdoc(found) == inspect.getdoc(contract)


def instance(core: Any, cls: str) -> Any:
    """An object of a class of the contract."""
    ring = core.ring.Ring()
    recorder = core.span.Recorder(ring)
    tracer = core.span.Tracer(InstrumentationScope("test"), recorder)
    return {
        "SpanContext": core.context.SpanContext(1, 2),
        "Context": core.context.Context(),
        "Ring": ring,
        "Store": core.store.Store(),
        "Span": tracer.start_span("operation"),
        "Tracer": tracer,
        "Recorder": recorder,
    }[cls]


@pytest.mark.parametrize("cls", CLASSES)
def test_classes_have_the_contracts_attributes_and_docstring(core: Any, cls: str) -> None:
    module, protocol = CLASSES[cls]
    made = instance(core, cls)
    for name in protocol.__annotations__:
        assert hasattr(made, name), name
    found = inspect.getdoc(getattr(getattr(core, module), cls)) or ""
    assert found.removeprefix(f"Module ``{module}``. ") == inspect.getdoc(protocol).removeprefix(
        f"Module ``{module}``. "
    )


@pytest.mark.parametrize("cls", CLASSES)
def test_twins_have_the_same_public_names(both: Any, cls: str) -> None:
    names = [{name for name in dir(instance(core, cls)) if not name.startswith("_")} for core in both]
    assert names[0] == names[1]


@pytest.mark.parametrize("module", MODULES)
def test_twin_modules_have_the_contracts_functions(both: Any, module: str) -> None:
    for core in both:
        assert set(functions(MODULES[module])) <= set(vars(getattr(core, module)))


@pytest.mark.parametrize("module", _core.MODULES)
def test_both_implementations_have_the_same_public_names(both: Any, module: str) -> None:
    one, other = (getattr(core, module) for core in both)
    assert one.__all__ == other.__all__
    assert all(hasattr(owner, name) for owner in (one, other) for name in one.__all__)
