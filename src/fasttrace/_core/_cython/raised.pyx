# cython: freethreading_compatible=True
"""Exceptions as events: what is written of one that comes again is copied, see ``places.h``.

Shared between threads, and what guards it: what was written of exceptions, and what was written last (``places.h``):
the GIL; without one a mutex, held for C code only. An exception is looked at in a critical section on it.

Raced by ``stress/race.py`` ("exceptions", "forks").
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

import sys

from fasttrace._core._cython.events cimport Added, copy_event, write_event
from fasttrace._core._cython.given cimport text_of
from fasttrace._core._cython.ids cimport ft_process, process_state
from fasttrace._core._cython.otlp cimport ft_buffer, ft_buffer_free, ft_buffer_init
from fasttrace._core._cython.recorder cimport Recorder
from fasttrace._core._cython.ring cimport FT_HAS_GIL, ft_is_first, ft_lock, ft_mutex, ft_unlock

from fasttrace._core import exceptions

__all__ = []

cdef extern from "places.h":
    enum:
        FT_PLACES
        FT_MOST_STEPS
    ctypedef struct ft_place:
        PyObject *texts
        PyObject *description
        uint8_t *event
        size_t event_size
    PyObject *ft_dict_get(object mapping, object key)
    bint ft_read_clue(PyObject *exception, object notes_key, ft_clue *clue)
    size_t ft_count_steps(PyObject *traceback)
    bint ft_is_written(const ft_place *place, const ft_clue *clue)
    ft_place *ft_find_place(ft_clue *clue)
    void ft_note_last(const ft_clue *clue, ft_place *place)
    void ft_forget_last()
    ft_place *ft_new_place(const ft_clue *clue, object texts, object description, const uint8_t *event, size_t size)
    void ft_put_place(const ft_clue *clue, ft_place *place, ft_place **gone)
    void ft_place_free(ft_place *place)
    void ft_forget_places()

cdef ft_process *PROCESS = process_state()
cdef dict MODULE = vars(exceptions)
cdef dict SYSTEM = vars(sys)
cdef str CLEANER = "_clean"
cdef str NOTES = "__notes__"
cdef str LIMIT = "tracebacklimit"

# Guards the table of places and what was written last; lost by a fork that came while somebody held it.
cdef ft_mutex places_mutex
cdef uint32_t places_generation = PROCESS.generation
cdef int64_t places_reset_in = PROCESS.generation
# Whether exceptions.py has written the last one.
cdef bint written_there = False


cdef bint places_are_ours() noexcept:
    """Whether a fork has left the table whole; if not, it begins anew."""
    global places_generation
    if FT_HAS_GIL or places_generation == PROCESS.generation:
        return True
    if not ft_is_first(&places_reset_in, PROCESS.generation):
        return False
    memset(&places_mutex, 0, sizeof(places_mutex))
    ft_forget_places()
    places_generation = PROCESS.generation
    return True


cdef bint read_clue(Recorder recorder, object exception, bint escaped, ft_clue *clue) except -1:
    cdef bint is_plain
    if not places_are_ours() or LIMIT in SYSTEM:
        return False
    with cython.critical_section(exception):
        is_plain = ft_read_clue(<PyObject *> exception, NOTES, clue)
    if not is_plain:
        return False
    clue.cleaner = ft_dict_get(MODULE, CLEANER)
    clue.max_count = recorder.max_event_attributes
    clue.max_length = recorder.max_member_length
    clue.escaped = escaped
    return True


cdef int write_there_no_more() except -1:
    """What exceptions.py has written last is not the last any more."""
    global written_there
    if written_there:
        written_there = False
        exceptions.forget_last()
    return 0


cdef object copied(ft_clue *clue, Added *events, Recorder recorder, int64_t time_ns):
    cdef ft_place *place
    cdef bint full = False
    description = None
    ft_lock(&places_mutex)
    place = ft_find_place(clue)
    if place != NULL and ft_is_written(place, clue):
        ft_note_last(clue, place)
        description = <object> place.description
        if events != NULL:
            full = not copy_event(events, recorder.max_events, place.event, place.event_size, time_ns)
    ft_unlock(&places_mutex)
    if full:
        raise MemoryError()
    if description is not None:
        write_there_no_more()
    return description


cdef tuple learn(Recorder recorder, object exception, ft_clue *clue, ft_buffer *part):
    cdef ft_place *place
    cdef ft_place *gone[FT_PLACES + 1]
    cdef uint32_t i = 0
    if ft_count_steps(clue.traceback) > FT_MOST_STEPS + clue.skipped:
        return None
    texts = texts_of(clue, False)
    if texts is None:
        try:
            traceback = None if clue.traceback == NULL else <object> clue.traceback
            texts = exceptions.texts_of_place(type(exception), traceback)
        except Exception:
            return None
        if texts is None:
            return None
    members, description = composed(clue, texts)
    write_event(part, recorder, "exception", members, 0)
    place = ft_new_place(clue, texts, description, part.data, part.length)
    if place == NULL:
        return None
    write_there_no_more()
    ft_lock(&places_mutex)
    ft_put_place(clue, place, gone)
    ft_unlock(&places_mutex)
    while gone[i] != NULL:
        ft_place_free(gone[i])
        i += 1
    return members, description


cdef object texts_of(ft_clue *clue, bint written):
    """What is known of the place of an exception, or None; ``written``: only if that is what was written there last."""
    cdef ft_place *place
    texts = None
    ft_lock(&places_mutex)
    place = ft_find_place(clue)
    if place != NULL and (not written or ft_is_written(place, clue)):
        texts = <object> place.texts
        if written:
            ft_note_last(clue, place)
    ft_unlock(&places_mutex)
    return texts


cdef object cleaned(object cleaner, str text, str otherwise):
    """``exceptions.cleaned``."""
    return text if cleaner is None else exceptions.cleaned(cleaner, text, otherwise)


cdef tuple composed(ft_clue *clue, object texts):
    """The attributes of an exception's event, and its description."""
    cleaner, said = <object> clue.cleaner, <object> clue.said
    kind, lines, shown, name = texts
    stack = f"{lines}{shown}: {said}\n" if said else f"{lines}{shown}\n"
    members = {
        "exception.type": kind,
        "exception.message": cleaned(cleaner, said, ""),
        "exception.stacktrace": cleaned(cleaner, stack, ""),
        "exception.escaped": "True" if clue.escaped else "False",
    }
    return members, text_of(cleaned(cleaner, f"{name}: {said}", name))


cdef dict members_of(Recorder recorder, object exception, bint escaped):
    cdef ft_clue clue
    cdef ft_buffer part
    cdef tuple found = None
    if recorder is not None and read_clue(recorder, exception, escaped, &clue):
        ft_buffer_init(&part)
        try:
            texts = texts_of(&clue, True)
            if texts is None:
                found = learn(recorder, exception, &clue, &part)
            else:
                write_there_no_more()
                found = composed(&clue, texts)
        finally:
            ft_buffer_free(&part)
            ft_drop_clue(&clue)
    return exception_attributes(exception, escaped) if found is None else found[0]


cdef object description_of(Recorder recorder, object exception, bint escaped):
    cdef ft_place *place
    cdef ft_clue clue
    description = None
    if recorder is not None and read_clue(recorder, exception, escaped, &clue):
        ft_lock(&places_mutex)
        place = ft_find_place(&clue)
        if place != NULL and ft_is_written(place, &clue):
            description = <object> place.description
        ft_unlock(&places_mutex)
        ft_drop_clue(&clue)
    return exceptions.exception_description(exception) if description is None else description


cdef dict exception_attributes(object exception, bint escaped):
    global written_there
    cdef list steps = []
    cdef tuple path, known_path, last
    cdef Py_ssize_t above
    ft_lock(&places_mutex)
    ft_forget_last()
    ft_unlock(&places_mutex)
    written_there = True
    try:
        said = str(exception)
    except Exception:
        said = None
    step = exception.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        steps.append(<size_t> <PyObject *> code)
        steps.append(step.tb_lasti)
        step = step.tb_next
    path = tuple(steps)
    try:
        notes = getattr(exception, "__notes__", None)
        if isinstance(notes, list):
            notes = tuple(notes)
        past = None
        if (
            exception.__cause__ is not None
            or exception.__context__ is not None
            or isinstance(exception, BaseExceptionGroup)
        ):
            past = exceptions.past_of(exception)
        identity = (<size_t> <PyObject *> exception, type(exception), said, notes, past)
        last = exceptions._last
        known_path = last[1]
        above = len(path) - len(known_path)
        if above >= 0 and last[0] == identity and (path if above == 0 else path[above:]) == known_path:
            kind, message, stack = last[3], last[4], last[5]
        else:
            kind, message, stack = exceptions.describe(exception, said, path, identity)
    except Exception:
        kind, message, stack = exceptions.describe(exception, said, path, None)
    return {
        "exception.type": kind,
        "exception.message": message,
        "exception.stacktrace": stack,
        "exception.escaped": "True" if escaped else "False",
    }
