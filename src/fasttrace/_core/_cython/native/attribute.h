/* Attributes on the C API of CPython: the short way for what most of them are. */
#ifndef FASTTRACE_ATTRIBUTE_H
#define FASTTRACE_ATTRIBUTE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "buffer.h"

/* Whether an exact int takes one machine word inside CPython, and then its value. */
static inline int ft_small_int(PyObject *number, int64_t *value) {
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) return 0;
    *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
#else
    Py_ssize_t size = Py_SIZE(number);
    if (size < -1 || size > 1) return 0;
    *value = size == 0 ? 0 : size * (int64_t)((PyLongObject *)number)->ob_digit[0];
#endif
    return 1;
}

/* Whether a value can be kept as it is where texts have no largest length; of the others the long way decides. */
static inline int ft_is_plain(PyObject *value) {
    int64_t number;
    PyTypeObject *kind = Py_TYPE(value);
    return kind == &PyUnicode_Type || kind == &PyBool_Type || kind == &PyFloat_Type ||
           (kind == &PyLong_Type && ft_small_int(value, &number));
}

/* One KeyValue (OTLP common.proto) of ASCII texts, small ints, bools and floats, which in all takes less than 128 bytes, so
   that every length is one byte. 1 when it is written, 0 when it is another kind of attribute, -1 without
   memory. */
static inline int ft_write_short_attribute(ft_buffer *buffer, uint8_t tag, PyObject *key, PyObject *value) {
    PyTypeObject *kind = Py_TYPE(value);
    size_t key_size = (size_t)PyUnicode_GET_LENGTH(key), value_size = 0, any_size;
    int64_t number = 0;
    if (!PyUnicode_IS_ASCII(key)) return 0;
    if (kind == &PyUnicode_Type) {
        if (!PyUnicode_IS_ASCII(value)) return 0;
        value_size = (size_t)PyUnicode_GET_LENGTH(value);
        any_size = 2 + value_size;
    } else if (kind == &PyLong_Type) {
        if (!ft_small_int(value, &number)) return 0;
        any_size = 1 + ft_varint_size((uint64_t)number);
    } else if (kind == &PyBool_Type) {
        any_size = 2;
    } else if (kind == &PyFloat_Type) {
        any_size = 9;
    } else {
        return 0;
    }
    if (key_size > 127 || any_size > 127 || key_size + any_size > 127 - 4) return 0;
    size_t size = key_size + any_size + 4;
    if (ft_buffer_reserve(buffer, size + 2)) return -1;
    uint8_t *at = buffer->data + buffer->length;
    buffer->length += size + 2;
    at[0] = tag;
    at[1] = (uint8_t)size;
    at[2] = 1 << 3 | 2;
    at[3] = (uint8_t)key_size;
    memcpy(at + 4, PyUnicode_DATA(key), key_size);
    at += 4 + key_size;
    at[0] = 2 << 3 | 2;
    at[1] = (uint8_t)any_size;
    if (kind == &PyUnicode_Type) {
        at[2] = 1 << 3 | 2;
        at[3] = (uint8_t)value_size;
        memcpy(at + 4, PyUnicode_DATA(value), value_size);
    } else if (kind == &PyLong_Type) {
        at[2] = 3 << 3;
        ft_write_varint(at + 3, (uint64_t)number);
    } else if (kind == &PyBool_Type) {
        at[2] = 2 << 3;
        at[3] = value == Py_True;
    } else {
        double real = PyFloat_AS_DOUBLE(value);
        uint64_t bits;
        memcpy(&bits, &real, sizeof(bits));
        at[2] = 4 << 3 | 1;
        ft_write_little_u64(at + 3, bits);
    }
    return 1;
}

#endif
