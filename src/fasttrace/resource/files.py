"""Small files that say where a process runs; ``root`` is another file system in tests."""

from __future__ import annotations

MOUNTS = "proc/self/mountinfo"
CGROUP = "proc/self/cgroup"
_AT_MOST_BYTES = 1 << 20  # a host of many containers has a long mountinfo


def read(path: str, root: str = "/") -> str:
    """The text of a file, "" if it can't be read."""
    try:
        with open(root + path, "rb") as file:
            return file.read(_AT_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def quoted_lines(text: str) -> dict[str, str]:
    """Lines of ``key="value"``, as in os-release(5) and in the downward API's files of labels."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            found[key.strip()] = value
    return found
