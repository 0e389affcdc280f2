"""Replaces functions of other libraries, and puts them back.

``replace(owner, name, make, options)`` sets ``owner.name`` to what ``make(original, patch)`` returns: a function that
asks ``patch.options`` at each call, and calls the original, nothing else, when they are None. It gets the name, the
signature, the documentation and the ``__wrapped__`` of the original.
"""

from __future__ import annotations

import _thread
from functools import update_wrapper
from types import MethodType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Patch", "replace", "replaced", "restore"]

_MARK = "_fasttrace_patch"
# Those of modules and classes, by owner and name; an object's own are found on it, so that none is kept alive here.
_patches: dict[tuple[Any, str], Patch] = {}
# Keeps "one wrapper each" true when threads instrument at once.
_lock = _thread.allocate_lock()


class Patch:
    """One replaced attribute. ``options`` are what it was made with, None from when it is put back."""

    __slots__ = ("_before", "_own", "name", "options", "original", "owner", "wrapper")

    def __init__(self, owner: Any, name: str, make: Callable[[Any, Patch], Any], options: Any) -> None:
        self.owner: Any = owner
        self.name: str = name
        self.options: Any = options
        names = getattr(owner, "__dict__", {})
        self._own = name in names
        before: Any = names[name] if self._own else getattr(owner, name)
        self._before = before
        self.original: Any = _bare(before)
        self.wrapper: Any = make(self.original, self)
        wrapper = self.wrapper
        update_wrapper(wrapper, self.original)
        setattr(wrapper, _MARK, self)
        if isinstance(before, MethodType):
            setattr(owner, name, MethodType(wrapper, before.__self__))
        elif isinstance(before, (staticmethod, classmethod)):
            setattr(owner, name, type(before)(wrapper))
        else:
            setattr(owner, name, wrapper)

    def leaves(self, instance: Any) -> bool:
        """Whether an object of this class has a wrapper of its own, which is there for it."""
        return self.owner is not instance and self.name in instance.__dict__ and replaced(instance, self.name)

    def removed(self) -> bool:
        """Whether somebody has put the original back by hand."""
        return _function(self.owner, self.name) is (self.original if self._own else None)

    def undo(self) -> None:
        """Put the original back or, where somebody has wrapped ours since, do nothing more from inside his."""
        self.options = None
        if _function(self.owner, self.name) is not self.wrapper:
            return
        if self._own:
            setattr(self.owner, self.name, self._before)
        else:
            delattr(self.owner, self.name)


def replace(owner: Any, name: str, make: Callable[[Any, Patch], Any], options: Any = True) -> None:
    """Put a wrapper in the place of ``owner.name``; nothing happens if it is there already.

    ``owner`` is a module, a class, or an object with attributes of its own, whose method it then is.
    """
    with _lock:
        if _find(owner, name) is None:
            patch = Patch(owner, name, make, options)
            if isinstance(owner, (type, ModuleType)):
                _patches[owner, name] = patch


def restore(owner: Any, name: str) -> None:
    """Undo ``replace``; nothing happens if there is nothing to undo."""
    with _lock:
        patch = _find(owner, name)
        if patch is not None:
            if isinstance(owner, (type, ModuleType)):
                _patches.pop((owner, name), None)
            patch.undo()


def replaced(owner: Any, name: str) -> bool:
    """Whether a wrapper of ours is at work there."""
    return _find(owner, name) is not None


def _find(owner: Any, name: str) -> Patch | None:
    if isinstance(owner, (type, ModuleType)):
        patch = _patches.get((owner, name))
        if patch is not None and patch.removed():
            del _patches[owner, name]
            patch.options = None
            return None
        return patch
    function = _function(owner, name)
    for _ in range(100):
        if function is None:
            break
        # Others who keep names as we do copy the mark, too.
        patch = getattr(function, _MARK, None)
        if isinstance(patch, Patch) and patch.wrapper is function:
            return patch if patch.options is not None and patch.owner is owner else None
        function = getattr(function, "__wrapped__", None)
    return None


def _function(owner: Any, name: str) -> Any:
    """What stands there of the owner's own, as a function."""
    return _bare(getattr(owner, "__dict__", {}).get(name))


def _bare(value: Any) -> Any:
    return value.__func__ if isinstance(value, (staticmethod, classmethod, MethodType)) else value
