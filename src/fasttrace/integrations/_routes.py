"""The template of the route that answered a request, as Starlette and FastAPI leave it in the scope."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from typing import Any

    Scope = MutableMapping[str, Any]

_CONVERTER = re.compile(r":[^}/]+}")
_PARAMETER = re.compile(r"{([^}:]+)")


class Routes:
    """Finds route templates; remembers those that had to be searched for."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[Any, frozenset[str]], str] = {}

    def template(self, scope: Scope, root_path: str) -> str:
        """``/api/{tenant}/items/{id}``, or "" when no route is known; ``root_path`` is the scope's at the start."""
        route = scope.get("route")
        if route is None:
            return self._search(scope)
        path = _path(route)
        # A mount that answered itself has its own path in the root path already.
        mounted: str = "" if hasattr(route, "routes") else scope.get("root_path", "")[len(root_path) :]
        if mounted:
            for key, value in scope.get("path_params", {}).items():
                if f"{{{key}" not in path:
                    mounted = _replace_segment(mounted, str(value), f"{{{key}}}")
        return mounted + path

    def _search(self, scope: Scope) -> str:
        """Older Starlette leaves the endpoint and the parameters: the template, if one route has both."""
        endpoint, router = scope.get("endpoint"), scope.get("router")
        if endpoint is None or router is None:
            return ""
        names = frozenset(scope.get("path_params", ()))
        found = self._known.get((endpoint, names))
        if found is None:
            templates = {
                path
                for path, candidate in _leaves(router, "")
                if candidate is endpoint and names == set(_PARAMETER.findall(path))
            }
            found = self._known[endpoint, names] = templates.pop() if len(templates) == 1 else ""
        return found


def _leaves(router: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for route in getattr(router, "routes", None) or ():
        path = prefix + _path(route)
        endpoint = getattr(route, "endpoint", None)
        if endpoint is not None:
            yield path, endpoint
        else:
            yield from _leaves(route, path)


def _path(route: Any) -> str:
    """A route's own template; that of a mount without the rest of the path, which it calls a parameter."""
    path = getattr(route, "path", None) if hasattr(route, "routes") else getattr(route, "path_format", None)
    path = path or getattr(route, "path", None)
    return _CONVERTER.sub("}", path) if isinstance(path, str) else ""


def _replace_segment(path: str, value: str, name: str) -> str:
    return "/".join(name if segment == value else segment for segment in path.split("/"))
