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
_MOST_KNOWN = 4096


class Routes:
    """Finds route templates, and remembers them."""

    __slots__ = ("_known", "_searched")

    def __init__(self) -> None:
        # By id, since a route that compares itself has no hash; it is kept, so that its id stays its own.
        self._known: dict[int, tuple[Any, str, bool]] = {}
        self._searched: dict[tuple[Any, frozenset[str]], tuple[str, ...]] = {}

    def template(self, scope: Scope) -> str:
        """``/api/{tenant}/items/{id}``, the application's root included; "" when no route is known."""
        route = scope.get("route")
        if route is None:
            return self._search(scope)
        known = self._known.get(id(route))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[id(route)] = (route, _path(route), hasattr(route, "routes"))
        _, path, is_mount = known
        mounted: str = scope.get("root_path", "")
        if not mounted:
            return path
        # From the last on, each in the last place that has its value: what stands before may be called the same.
        for key, value in reversed(scope.get("path_params", {}).items()):
            name = f"{{{key}}}"
            if name not in path:
                mounted = _replace_last_segment(mounted, str(value), name)
        # A mount that answered itself has its own path in the root path already.
        return mounted if is_mount else mounted + path

    def _search(self, scope: Scope) -> str:
        """Older Starlette leaves the endpoint and the parameters: the template of the route that has both."""
        endpoint, router = scope.get("endpoint"), scope.get("router")
        if endpoint is None or router is None:
            return ""
        values = scope.get("path_params", {})
        names = frozenset(values)
        found = self._searched.get((endpoint, names))
        if found is None:
            templates = {
                path
                for path, candidate in _leaves(router, "")
                if candidate is endpoint and names == set(_PARAMETER.findall(path))
            }
            if len(self._searched) >= _MOST_KNOWN:
                self._searched.clear()
            found = self._searched[endpoint, names] = tuple(templates)
        if len(found) == 1:
            return found[0]
        # Of several routes to one endpoint the one that gives this path.
        return next((template for template in found if template.format_map(values) == scope.get("path")), "")


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


def _replace_last_segment(path: str, value: str, name: str) -> str:
    before, found, after = f"{path}/".rpartition(f"/{value}/")
    return f"{before}/{name}/{after}"[:-1] if found else path
