# cython: language_level=3, boundscheck=False, binding=True, freethreading_compatible=True
"""A plain C loop that shares nothing: how threads scale on this machine, at this moment."""

from libc.stdint cimport uint64_t


def spin(uint64_t turns, uint64_t state=1):
    """So many steps of a generator of numbers, each of which needs the one before, without the GIL."""
    with nogil:
        while turns:
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            turns -= 1
    return state
