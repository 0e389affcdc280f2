"""Which applications are traced: all of a class, or those that were chosen, where they are called."""

from __future__ import annotations

from weakref import WeakSet

from fasttrace.integrations._patch import replace, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fasttrace.integrations._patch import Patch
    from fasttrace.integrations._server import Server

__all__ = ["ATTRIBUTE", "Applications", "is_traced"]

# Where an application, or its class, has its Server.
ATTRIBUTE = "_fasttrace_server"
_MOST_WRAPPERS = 30


class Applications:
    """The applications of one class, traced where they are called: all of them, or those that were chosen.

    ``methods`` of ``owner`` get a wrapper each (``make``, see ``_patch.replace``), which looks for a Server under
    ``ATTRIBUTE`` of the application that it is called on. ``chosen`` is the class whose applications are all of them.
    """

    def __init__(
        self,
        owner: type,
        methods: tuple[str, ...],
        make: Callable[[Any, Patch], Any],
        chosen: type | None = None,
    ) -> None:
        self._owner = owner
        self._methods = methods
        self._make = make
        self.chosen = chosen or owner

    @property
    def any(self) -> bool:
        """Whether any application of the owner's is traced."""
        return bool(_holders.get(self._owner))

    def instrument(self, application: Any, make_server: Callable[[], Server]) -> None:
        """Trace one application, or all with None; one that is traced already stays as it is."""
        holder = self.chosen if application is None else application
        if ATTRIBUTE not in vars(holder):
            setattr(holder, ATTRIBUTE, make_server())
            _holders.setdefault(self._owner, WeakSet()).add(holder)
        for method in self._methods:
            replace(self._owner, method, self._make)

    def uninstrument(self, application: Any = None) -> None:
        """Undo ``instrument``, for one application or for all that were not chosen by themselves."""
        holder = self.chosen if application is None else application
        if ATTRIBUTE not in vars(holder):
            return
        delattr(holder, ATTRIBUTE)
        holders = _holders[self._owner]
        holders.discard(holder)
        if not holders:
            for method in self._methods:
                restore(self._owner, method)


# The classes and applications that have a Server, by the class whose methods look for it.
_holders: dict[type, WeakSet[Any]] = {}


def is_traced(application: Any) -> bool:
    """Whether an application, or one that it wraps, makes spans of its requests itself."""
    try:
        for _ in range(_MOST_WRAPPERS):
            if application is None:
                break
            if getattr(application, ATTRIBUTE, None) is not None:
                return True
            for middleware in getattr(application, "user_middleware", None) or ():
                if hasattr(getattr(middleware, "cls", None), ATTRIBUTE):
                    return True
            wrapped = (getattr(application, name, None) for name in ("app", "wsgi_app", "application", "__self__"))
            application = next(filter(callable, wrapped), None)
    except Exception:  # an application may answer as it likes when it is asked
        pass
    return False
