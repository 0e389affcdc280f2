"""The page's modules as one script: each becomes a function that is called once, after those that it imports from.

Not any JavaScript: named imports and exports as ``local/web`` has them, at the beginning of a statement, no circles.
What else there is of both is an error, and so is a name that a module does not export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from posixpath import dirname, join, normpath

_IMPORT_MAP = re.compile(r"<script type=\"importmap\">(.*?)</script>", re.DOTALL)
_BEGIN = r"(?:^|(?<=[;}]))"
_IMPORT = re.compile(_BEGIN + r"import\s*(?:(\w+)|\{([^}]*)\})\s*from\s*\"([^\"]+)\";?", re.MULTILINE)
_PASSED_ON = re.compile(_BEGIN + r"export\s*\{([^}]*)\}\s*from\s*\"([^\"]+)\";?", re.MULTILINE)
_NAMES = re.compile(_BEGIN + r"export\s*\{([^}]*)\};?", re.MULTILINE)
_DECLARED = re.compile(_BEGIN + r"export (?=(?:const|class|function|async function) ([\w$]+))", re.MULTILINE)
_DEFAULT = re.compile(_BEGIN + r"export default (?=function\()", re.MULTILINE)
_LEFT = re.compile(_BEGIN + r"(?:import\b(?!\()|export\b)[^\n]{0,60}", re.MULTILINE)
_SOURCE_MAP = re.compile(r"//# sourceMappingURL=\S*")


def text(path: str) -> str:
    """A file of ``local/web``."""
    return files("fasttrace.local").joinpath("web", path).read_text(encoding="utf-8")


def bundle(main: str, instead: dict[str, str], read: Callable[[str], str] = text) -> tuple[str, list[str]]:
    """One module script of ``main`` and all that it imports, and the paths of these; ``instead`` replaces some paths.

    ``read`` gives a file by its path below ``local/web``. Raises ValueError for modules that it can't join.
    """
    modules = _Modules(read, instead)
    modules.add(main, ())
    return "".join(modules.parts), list(modules.numbers)


class _Modules:
    def __init__(self, read: Callable[[str], str], instead: dict[str, str]) -> None:
        self._read = read
        self._instead = instead
        found = _IMPORT_MAP.search(read("index.html"))
        self._map: dict[str, str] = json.loads(found[1])["imports"] if found else {}
        self._exports: dict[str, set[str]] = {}
        self.numbers: dict[str, str] = {}
        self.parts: list[str] = []

    def add(self, path: str, above: tuple[str, ...]) -> str:
        """The variable that holds what a module exports; its code stands in ``parts``."""
        if path in above:
            raise ValueError(f"modules that import each other: {' → '.join((*above, path))}")
        if path in self.numbers:
            return self.numbers[path]
        code = _SOURCE_MAP.sub("", self._read(path))
        exports: dict[str, str] = {}

        def load(specifier: str, pairs: dict[str, str]) -> str:
            target = self._resolve(path, specifier)
            variable = self.add(target, (*above, path))
            missing = set(pairs.values()) - self._exports[target]
            if missing:
                raise ValueError(f"{path}: {target} exports no {', '.join(sorted(missing))}")
            return f"const {{{', '.join(f'{name}: {own}' for own, name in pairs.items())}}} = {variable};"

        def imported(match: re.Match[str]) -> str:
            default, names, specifier = match.groups()
            return load(specifier, {default: "default"} if default else {own: name for name, own in _pairs(names)})

        def passed_on(match: re.Match[str]) -> str:
            own = {f"$passed{len(exports) + at}": pair for at, pair in enumerate(_pairs(match[1]))}
            exports.update({outer: variable for variable, (_, outer) in own.items()})
            return load(match[2], {variable: name for variable, (name, _) in own.items()})

        def named(match: re.Match[str]) -> str:
            exports.update({outer: name for name, outer in _pairs(match[1])})
            return ""

        def declared(match: re.Match[str]) -> str:
            exports[match[1]] = match[1]
            return ""

        def default(_: re.Match[str]) -> str:
            exports["default"] = "$default"
            return "const $default = "

        for pattern, replace in (
            (_PASSED_ON, passed_on),
            (_IMPORT, imported),
            (_NAMES, named),
            (_DECLARED, declared),
            (_DEFAULT, default),
        ):
            code = pattern.sub(replace, code)
        left = _LEFT.search(code)
        if left:
            raise ValueError(f"{path}: {left[0]!r} is more than can be put into one script")
        variable = self.numbers[path] = f"$module{len(self.numbers)}"
        self._exports[path] = set(exports)
        given = ", ".join(f"{outer}: {own}" for outer, own in exports.items())
        self.parts.append(f"// {path}\nconst {variable} = (() => {{\n{code.strip()}\nreturn {{{given}}};\n}})();\n")
        return variable

    def _resolve(self, path: str, specifier: str) -> str:
        found = self._map.get(specifier) or (join(dirname(path), specifier) if specifier[0] == "." else "")
        if not found:
            raise ValueError(
                f"{path}: nothing is known of {specifier!r}: the import map of index.html has no such name"
            )
        found = normpath(found)
        return self._instead.get(found, found)


def _pairs(names: str) -> list[tuple[str, str]]:
    """``a as b, c`` as pairs of the name there and the name here."""
    parts = [part.split(" as ") for part in names.split(",") if part.strip()]
    return [(part[0].strip(), part[-1].strip()) for part in parts]
