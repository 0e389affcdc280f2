/* Text and ContextVar helpers on the C API of CPython. */
#ifndef FASTTRACE_PYTEXT_H
#define FASTTRACE_PYTEXT_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Bytes of the text in UTF-8. A lone surrogate counts as U+FFFD, which is as long. */
static inline size_t ft_utf8_size(PyObject *text) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    if (PyUnicode_IS_ASCII(text)) return (size_t)length;
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    size_t size = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        size += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    }
    return size;
}

/* Writes the text in UTF-8, lone surrogates as U+FFFD; no copy is cached on the object. */
static inline uint8_t *ft_write_utf8(uint8_t *at, PyObject *text) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    const void *data = PyUnicode_DATA(text);
    if (PyUnicode_IS_ASCII(text)) {
        memcpy(at, data, (size_t)length);
        return at + length;
    }
    int kind = PyUnicode_KIND(text);
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c >= 0xD800 && c < 0xE000) c = 0xFFFD;
        if (c < 0x80) {
            *at++ = (uint8_t)c;
        } else if (c < 0x800) {
            *at++ = (uint8_t)(0xC0 | c >> 6);
            *at++ = (uint8_t)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            *at++ = (uint8_t)(0xE0 | c >> 12);
            *at++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
            *at++ = (uint8_t)(0x80 | (c & 0x3F));
        } else {
            *at++ = (uint8_t)(0xF0 | c >> 18);
            *at++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
            *at++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
            *at++ = (uint8_t)(0x80 | (c & 0x3F));
        }
    }
    return at;
}

/* Whether two exact str objects hold the same text; the canonical form makes kinds equal when texts are. */
static inline int ft_text_equal(PyObject *a, PyObject *b) {
    if (a == b) return 1;
    Py_ssize_t length = PyUnicode_GET_LENGTH(a);
    if (length != PyUnicode_GET_LENGTH(b) || PyUnicode_KIND(a) != PyUnicode_KIND(b)) return 0;
    return memcmp(PyUnicode_DATA(a), PyUnicode_DATA(b), (size_t)length * (size_t)PyUnicode_KIND(a)) == 0;
}

/* Before 3.12 a collection may start inside the allocations of PyContextVar_Set, while the mapping behind the
   context is half built, and crash: no collection during set and reset there. */
#if PY_VERSION_HEX < 0x030C0000
#define FT_WITHOUT_COLLECTION(statement)      \
    do {                                      \
        int ft_was_enabled = PyGC_Disable();  \
        statement;                            \
        if (ft_was_enabled) PyGC_Enable();    \
    } while (0)
#else
#define FT_WITHOUT_COLLECTION(statement) statement
#endif

/* The value of a variable that has a default. */
static inline PyObject *ft_contextvar_get(PyObject *variable) {
    PyObject *value = NULL;
    if (PyContextVar_Get(variable, NULL, &value) < 0) return NULL;
    return value;
}

static inline PyObject *ft_contextvar_set(PyObject *variable, PyObject *value) {
    PyObject *token;
    FT_WITHOUT_COLLECTION(token = PyContextVar_Set(variable, value));
    return token;
}

/* Resets the variable if it holds `value`. 0 when it did or held something else, -1 (with no error set) when the
   token belongs to another execution context. */
static inline int ft_contextvar_leave(PyObject *variable, PyObject *value, PyObject *token) {
    PyObject *current = NULL;
    int result;
    if (PyContextVar_Get(variable, NULL, &current) < 0) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(current);
    if (current != value) return 0; /* compared as an address only */
    FT_WITHOUT_COLLECTION(result = PyContextVar_Reset(variable, token));
    if (result < 0) {
        PyErr_Clear();
        return -1;
    }
    return 0;
}

/* A new object of a subclass of a type without arguments, as `kind.__new__(kind)` makes it. */
static inline PyObject *ft_new(PyObject *kind) {
    static PyObject *nothing = NULL;
    if (nothing == NULL && (nothing = PyTuple_New(0)) == NULL) return NULL;
    return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, nothing, NULL);
}

#endif
