/* An exception that is to be written as an event, as places.h looks for it. On the C API of CPython. */
#ifndef FASTTRACE_CLUE_H
#define FASTTRACE_CLUE_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

/* One exception, and how it is to be written. */
typedef struct {
    PyObject *exception;
    unsigned int version;
    /* All of these are owned. */
    PyObject *name, *qualname; /* or NULL */
    PyObject *said;            /* its text */
    PyObject *traceback;       /* or NULL */
    PyObject *cleaner;         /* or None */
    int64_t max_count, max_length;
    int escaped;
    size_t skipped; /* steps that were added after it was written for the first time */
} ft_clue;

static inline void ft_drop_clue(ft_clue *clue) {
    Py_XDECREF(clue->name);
    Py_XDECREF(clue->qualname);
    Py_DECREF(clue->said);
    Py_XDECREF(clue->traceback);
    Py_DECREF(clue->cleaner);
}

#endif
