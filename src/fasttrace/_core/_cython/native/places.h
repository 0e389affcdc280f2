/* Where exceptions came from, and what was written of the last one that came from there. On the C API of CPython.

   A place is the class of an exception and the instructions that its traceback names, outermost first. A class is known
   by its version tag, which CPython never gives twice and takes away when the class or one of its bases changes: no
   class is kept alive. Places do not change; who knows something newer puts another one in their place. Nothing in here
   runs Python code but ft_place_free and ft_drop_clue. The GIL guards the table; without one, whoever calls
   ft_find_place or ft_put_place, or looks at a place, holds a mutex. For one extension: each has its own statics. */
#ifndef FASTTRACE_PLACES_H
#define FASTTRACE_PLACES_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clue.h"
#include "pytext.h"

enum {
    FT_PLACES = 256,
    FT_NEIGHBOURS = 4, /* in which of so many slots a place may be */
    FT_MOST_STEPS = 64,
    FT_LARGEST_EVENT = 16 * 1024,
    FT_PLACES_BYTES = 1024 * 1024
};

typedef struct {
    PyCodeObject *code;
    int offset;
} ft_step;

typedef struct {
    unsigned int version;
    PyObject *name, *qualname; /* of a class that Python code has made: they change without its version */
    PyObject *texts;           /* what exceptions.py says of the place */
    /* What was written, and what of. */
    PyObject *said, *cleaner, *description;
    int64_t max_count, max_length;
    int escaped;
    uint8_t *event; /* the body of the event, its time in front: a tag and eight bytes */
    size_t event_size;
    uint64_t hash;
    size_t count;
    ft_step steps[];
} ft_place;

static ft_place *ft_places[FT_PLACES];
static size_t ft_places_bytes;
static uint32_t ft_next_victim;
/* The exception that was written last, an address only, and its place. What an exception says of its traceback is said
   where it is written first: further out it has more steps in front. */
static PyObject *ft_last_exception;
static ft_place *ft_last_place;

static inline int ft_is_scalar(PyObject *value) {
    return value == NULL || value == Py_None || PyUnicode_CheckExact(value) || PyLong_CheckExact(value) ||
           PyFloat_CheckExact(value) || PyBool_Check(value);
}

/* The text of an exception whose class leaves `str` to built-in code, which meets nothing but built-in values; NULL,
   with no error set, for another one. */
static inline PyObject *ft_plain_text(PyObject *exception) {
    reprfunc of_kind = Py_TYPE(exception)->tp_str;
    PyObject *arguments = ((PyBaseExceptionObject *)exception)->args, *text;
    if (arguments == NULL || !PyTuple_CheckExact(arguments)) return NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    if (of_kind == ((PyTypeObject *)PyExc_BaseException)->tp_str) {
        if (count == 1 && PyUnicode_CheckExact(PyTuple_GET_ITEM(arguments, 0)))
            return Py_NewRef(PyTuple_GET_ITEM(arguments, 0));
    } else if (of_kind == ((PyTypeObject *)PyExc_OSError)->tp_str) {
        PyOSErrorObject *error = (PyOSErrorObject *)exception;
        if (!ft_is_scalar(error->myerrno) || !ft_is_scalar(error->strerror) || !ft_is_scalar(error->filename) ||
            !ft_is_scalar(error->filename2))
            return NULL;
#ifdef MS_WINDOWS
        if (!ft_is_scalar(error->winerror)) return NULL;
#endif
    } else if (of_kind != ((PyTypeObject *)PyExc_KeyError)->tp_str) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (!ft_is_scalar(PyTuple_GET_ITEM(arguments, i))) return NULL;
    text = of_kind(exception);
    if (text == NULL) {
        PyErr_Clear();
    } else if (!PyUnicode_CheckExact(text)) {
        Py_CLEAR(text);
    }
    return text;
}

static inline unsigned int ft_version_of(PyTypeObject *kind) {
#if PY_VERSION_HEX < 0x030D0000
    if (!PyType_HasFeature(kind, Py_TPFLAGS_VALID_VERSION_TAG)) return 0;
#endif
    return kind->tp_version_tag;
}

/* Whether an exception comes from no other one, has no notes and a plain text: type, message and traceback are all that
   there is to say. exceptions.py says whether its class is such a one, too. Then the clue, but for how it is to be
   written. */
static int ft_read_clue(PyObject *exception, PyObject *notes_key, ft_clue *clue) {
    PyTypeObject *kind = Py_TYPE(exception);
    PyBaseExceptionObject *base = (PyBaseExceptionObject *)exception;
    if (!PyExceptionInstance_Check(exception) || !Py_IS_TYPE((PyObject *)kind, &PyType_Type)) return 0;
    if (base->cause != NULL || base->context != NULL || kind->tp_getattro != PyObject_GenericGetAttr) return 0;
    clue->version = ft_version_of(kind);
    if (clue->version == 0) return 0;
    if (base->dict != NULL) {
        int noted = PyDict_Contains(base->dict, notes_key);
        if (noted < 0) PyErr_Clear();
        if (noted) return 0;
    }
    clue->said = ft_plain_text(exception);
    if (clue->said == NULL) return 0;
    clue->name = clue->qualname = NULL;
    if (PyType_HasFeature(kind, Py_TPFLAGS_HEAPTYPE)) {
        clue->name = Py_NewRef(((PyHeapTypeObject *)kind)->ht_name);
        clue->qualname = Py_NewRef(((PyHeapTypeObject *)kind)->ht_qualname);
    }
    clue->traceback = base->traceback == Py_None ? NULL : Py_XNewRef(base->traceback);
    clue->exception = exception;
    clue->skipped = 0;
    return 1;
}

static inline size_t ft_count_steps(PyObject *traceback) {
    size_t count = 0;
    for (PyTracebackObject *at = (PyTracebackObject *)traceback; at != NULL; at = at->tb_next) count++;
    return count;
}

static inline PyTracebackObject *ft_skip_steps(PyObject *traceback, size_t count) {
    PyTracebackObject *at = (PyTracebackObject *)traceback;
    while (count-- && at != NULL) at = at->tb_next;
    return at;
}

static inline PyCodeObject *ft_code_of(PyTracebackObject *step) { /* borrowed: the frame has it */
    PyCodeObject *code = PyFrame_GetCode(step->tb_frame);
    Py_DECREF(code);
    return code;
}

static inline int ft_is_place(const ft_place *place, const ft_clue *clue, PyTracebackObject *at) {
    if (place->version != clue->version || place->name != clue->name || place->qualname != clue->qualname) return 0;
    for (size_t i = 0; i < place->count; i++, at = at->tb_next) {
        if (at == NULL || place->steps[i].offset != at->tb_lasti || place->steps[i].code != ft_code_of(at)) return 0;
    }
    return at == NULL;
}

static inline uint64_t ft_hash_step(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static inline uint64_t ft_hash_clue(const ft_clue *clue) {
    uint64_t hash = clue->version;
    for (PyTracebackObject *at = ft_skip_steps(clue->traceback, clue->skipped); at != NULL; at = at->tb_next)
        hash = ft_hash_step(hash, (uint64_t)(uintptr_t)ft_code_of(at) + (uint64_t)(unsigned int)at->tb_lasti);
    return hash;
}

/* Whether what was written last is what is to be written now. */
static inline int ft_is_written(const ft_place *place, const ft_clue *clue) {
    return place->escaped == clue->escaped && place->cleaner == clue->cleaner && place->max_count == clue->max_count &&
           place->max_length == clue->max_length && ft_text_equal(place->said, clue->said);
}

/* The place of an exception, or NULL. */
static ft_place *ft_find_place(ft_clue *clue) {
    size_t count = ft_count_steps(clue->traceback);
    ft_place *place = ft_last_place;
    if (place != NULL && ft_last_exception == clue->exception && place->count <= count &&
        ft_text_equal(place->said, clue->said) &&
        ft_is_place(place, clue, ft_skip_steps(clue->traceback, count - place->count))) {
        clue->skipped = count - place->count;
        return place;
    }
    clue->skipped = 0;
    if (count > FT_MOST_STEPS) return NULL;
    uint64_t hash = ft_hash_clue(clue);
    for (uint32_t i = 0; i < FT_NEIGHBOURS; i++) {
        place = ft_places[(hash + i) % FT_PLACES];
        if (place != NULL && place->hash == hash && place->count == count &&
            ft_is_place(place, clue, (PyTracebackObject *)clue->traceback))
            return place;
    }
    return NULL;
}

/* An exception is written as its place has it. */
static inline void ft_note_last(const ft_clue *clue, ft_place *place) {
    ft_last_exception = clue->exception;
    ft_last_place = place;
}

static inline void ft_forget_last(void) {
    ft_last_exception = NULL;
    ft_last_place = NULL;
}

/* In a forked child, in which the table may be half of what it was: what it had stays behind. */
static inline void ft_forget_places(void) {
    memset(ft_places, 0, sizeof(ft_places));
    ft_places_bytes = 0;
    ft_forget_last();
}

/* What a dict has, or None, owned. For keys and dicts of texts only, so that no Python code runs. */
static inline PyObject *ft_dict_get(PyObject *mapping, PyObject *key) {
    PyObject *found = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyDict_GetItemRef(mapping, key, &found) < 0) PyErr_Clear();
#else
    found = Py_XNewRef(PyDict_GetItemWithError(mapping, key));
#endif
    return found != NULL ? found : Py_NewRef(Py_None);
}

static void ft_place_free(ft_place *place) {
    if (place == NULL) return;
    for (size_t i = 0; i < place->count; i++) Py_XDECREF(place->steps[i].code);
    Py_XDECREF(place->name);
    Py_XDECREF(place->qualname);
    Py_XDECREF(place->texts);
    Py_XDECREF(place->said);
    Py_XDECREF(place->cleaner);
    Py_XDECREF(place->description);
    free(place->event);
    free(place);
}

static inline size_t ft_place_bytes(const ft_place *place) {
    return sizeof(ft_place) + place->count * sizeof(ft_step) + 2 * place->event_size;
}

/* A new place; NULL, with no error set, for what is not worth to be kept, or without memory. */
static ft_place *ft_new_place(const ft_clue *clue, PyObject *texts, PyObject *description, const uint8_t *event,
                              size_t size) {
    size_t count = ft_count_steps(clue->traceback);
    if (count < clue->skipped) return NULL;
    count -= clue->skipped;
    if (count > FT_MOST_STEPS || size > FT_LARGEST_EVENT) return NULL;
    ft_place *place = (ft_place *)calloc(1, sizeof(ft_place) + count * sizeof(ft_step));
    if (place == NULL) return NULL;
    place->event = (uint8_t *)malloc(size);
    if (place->event == NULL) {
        free(place);
        return NULL;
    }
    memcpy(place->event, event, size);
    place->event_size = size;
    place->version = clue->version;
    place->name = Py_XNewRef(clue->name);
    place->qualname = Py_XNewRef(clue->qualname);
    place->texts = Py_NewRef(texts);
    place->said = Py_NewRef(clue->said);
    place->cleaner = Py_NewRef(clue->cleaner);
    place->description = Py_NewRef(description);
    place->max_count = clue->max_count;
    place->max_length = clue->max_length;
    place->escaped = clue->escaped;
    place->hash = ft_hash_clue(clue);
    place->count = count;
    PyTracebackObject *at = ft_skip_steps(clue->traceback, clue->skipped);
    for (size_t i = 0; i < count && at != NULL; i++, at = at->tb_next) {
        if (at->tb_lasti < 0) { /* made by hand: the instruction does not tell the line */
            ft_place_free(place);
            return NULL;
        }
        place->steps[i].code = PyFrame_GetCode(at->tb_frame);
        place->steps[i].offset = at->tb_lasti;
    }
    return place;
}

/* Takes a place in. What has to go for it is in `gone`, ended by NULL, to be freed by the caller when nobody waits. */
static void ft_put_place(const ft_clue *clue, ft_place *place, ft_place *gone[FT_PLACES + 1]) {
    size_t count = 0;
    if (ft_places_bytes + ft_place_bytes(place) > FT_PLACES_BYTES) {
        for (uint32_t i = 0; i < FT_PLACES; i++) {
            if (ft_places[i] != NULL) gone[count++] = ft_places[i];
            ft_places[i] = NULL;
        }
        ft_places_bytes = 0;
    }
    ft_place **slot = NULL, **unused = NULL;
    for (uint32_t i = 0; i < FT_NEIGHBOURS && slot == NULL; i++) {
        ft_place **at = &ft_places[(place->hash + i) % FT_PLACES];
        if (*at == NULL) {
            if (unused == NULL) unused = at;
        } else if ((*at)->hash == place->hash) {
            slot = at;
        }
    }
    if (slot == NULL) slot = unused;
    if (slot == NULL) slot = &ft_places[(place->hash + ft_next_victim++ % FT_NEIGHBOURS) % FT_PLACES];
    if (*slot != NULL) {
        ft_places_bytes -= ft_place_bytes(*slot);
        gone[count++] = *slot;
    }
    *slot = place;
    ft_places_bytes += ft_place_bytes(place);
    gone[count] = NULL;
    ft_note_last(clue, place);
}

#endif
