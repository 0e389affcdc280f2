"""Trace and span ids from per-thread generators seeded by the operating system."""

from __future__ import annotations

import os
from _random import Random
from _thread import _local

_process_id = os.getpid()
_generation = 0


class _Generators(_local):
    """The generator of each thread and the fork generation it was seeded in."""

    random: Random | None = None
    generation = -1


_generators = _Generators()


def fork_generation() -> int:
    """A number that is another one in a forked child than in its parent; compare for equality."""
    global _generation, _process_id
    process_id = os.getpid()
    if process_id != _process_id:
        _process_id = process_id
        _generation += 1
    return _generation


def _bits(count: int) -> int:
    generation = fork_generation()
    generator = _generators.random
    if generator is None or _generators.generation != generation:
        generator = _generators.random = Random(int.from_bytes(os.urandom(32), "big"))
        _generators.generation = generation
    value = 0
    while value == 0:
        value = generator.getrandbits(count)
    return value


def generate_trace_id() -> int:
    """A random 128-bit trace id, never zero; all bits are random (W3C Trace Context level 2, section 3.2.2.3)."""
    return _bits(128)


def generate_span_id() -> int:
    """A random 64-bit span id, never zero."""
    return _bits(64)
