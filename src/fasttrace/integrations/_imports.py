"""Calls a function as soon as a module has been imported, by whomever; importing nothing but itself.

A finder in front of all others puts a loader around that of each module that is waited for. Before the module's first
line runs, ``__spec__`` and ``__loader__`` have its own again. Namespace packages, which have none, are not told.
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], None]

# By module. Whoever takes a hook out calls it, so that no lock is needed for "once", which a fork could copy locked.
_hooks: dict[str, Hook] = {}


def when_imported(name: str, hook: Hook) -> None:
    """Call ``hook`` with the module once it is imported, or now; the last one that was given for it is called."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    _hooks[name] = hook
    module = sys.modules.get(name)
    if module is not None:
        _call_hook(name, module)


def _call_hook(name: str, module: ModuleType) -> None:
    hook = _hooks.pop(name, None)
    if hook is not None:
        hook(module)


class _Finder:
    def __init__(self) -> None:
        self._asking: set[tuple[int, str]] = set()  # by thread: other finders of this kind ask all finders, too

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find, with our loader around theirs."""
        asking = (_thread.get_ident(), name)
        if name not in _hooks or asking in self._asking:
            return None
        self._asking.add(asking)
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._asking.discard(asking)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(name, spec.loader)  # type: ignore[assignment]
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            find_spec = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find_spec and find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


class _Loader:
    def __init__(self, name: str, loader: Any) -> None:
        self._name: str = name
        self._loader: Any = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        create: Callable[[ModuleSpec], ModuleType | None] | None = getattr(self._loader, "create_module", None)
        return create(spec) if create is not None else None

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader, which it has from here on; then what waits for it."""
        if getattr(module, "__loader__", None) is self:
            module.__loader__ = self._loader
        spec = module.__spec__
        if spec is not None and spec.loader is self:  # type: ignore[comparison-overlap]
            spec.loader = self._loader
        self._loader.exec_module(module)
        _call_hook(self._name, sys.modules.get(self._name, module))


_FINDER: Any = _Finder()
