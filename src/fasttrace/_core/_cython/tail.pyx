# cython: freethreading_compatible=True
"""Tail rules that one span decides, and the bits that the spans of a local root share.

Shared between threads: TailRules, which never change once they are made; LocalTrace, one word, changed by atomic or.
Raced by ``stress/race.py`` ("tail").
"""

cimport cython
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint32_t

from fasttrace._core._cython.otlp cimport ft_text_equal

from fasttrace._core.rules import check_span_rules

__all__ = ["LocalTrace", "TailRules"]

cdef extern from "Python.h":
    double PyLong_AsDouble(object value) except? -1.0
    double PyFloat_AS_DOUBLE(object value)
    int PyObject_RichCompareBool(object left, object right, int how) except -1
    enum: Py_EQ
    Py_ssize_t PyTuple_GET_SIZE(object values)
    PyObject *PyTuple_GET_ITEM(object values, Py_ssize_t index)
    Py_ssize_t PyList_GET_SIZE(object values)
    PyObject *PyList_GET_ITEM(object values, Py_ssize_t index)


@cython.final
@cython.no_gc
cdef class LocalTrace:
    """What the spans of one local root share."""


@cython.final
cdef class TailRules:
    """The rules that one span decides: ``TailRules(rules)``, in the plain form of ``rules.py``."""

    def __init__(self, rules):
        cdef AttributeRule *attribute
        self.rules = check_span_rules(rules)
        self.keys, self.values = [], []
        for rule in self.rules:
            mask = 1 << rule[1]
            if rule[0] == "latency":
                self.latency[self.latency_count].nanoseconds = rule[2]
                self.latency[self.latency_count].mask = mask
                self.latency_count += 1
            elif rule[0] == "error":
                self.error_mask |= mask
            elif rule[0] == "http_5xx":
                self.http_5xx_mask |= mask
            elif rule[0] == "exception":
                self.exception_mask |= mask
            else:
                attribute = &self.attribute[self.attribute_count]
                attribute.mask = mask
                attribute.bounded = rule[4] is not None or rule[5] is not None
                attribute.minimum = -INFINITY if rule[4] is None else rule[4]
                attribute.maximum = INFINITY if rule[5] is None else rule[5]
                self.keys.append(rule[2])
                self.values.append(rule[3])
                self.attribute_count += 1

    cdef uint32_t duration_bits(self, int64_t nanoseconds) noexcept:
        cdef uint32_t i, bits = 0
        for i in range(self.latency_count):
            if nanoseconds >= self.latency[i].nanoseconds:
                bits |= self.latency[i].mask
        return bits

    cdef uint32_t attribute_bits(self, object key, object value) noexcept:
        """The bits of the rules that this attribute meets. Exact built-ins only, so no Python code runs."""
        cdef uint32_t i, bits = 0
        for i in range(self.attribute_count):
            if ft_text_equal(key, <object> PyList_GET_ITEM(self.keys, i)) and meets(
                &self.attribute[i], <object> PyList_GET_ITEM(self.values, i), value
            ):
                bits |= self.attribute[i].mask
        return bits


cdef bint meets(AttributeRule *rule, object values, object value) noexcept:
    cdef Py_ssize_t i
    cdef double number
    if rule.bounded:
        if type(value) is int:
            number = PyLong_AsDouble(value)
        elif type(value) is float:
            number = PyFloat_AS_DOUBLE(value)
        else:
            return False
        if not (rule.minimum <= number and number <= rule.maximum):
            return False
    if values is None:
        return True
    for i in range(PyTuple_GET_SIZE(values)):
        if equal(value, <object> PyTuple_GET_ITEM(values, i)):
            return True
    return False


cdef bint equal(object value, object wanted) noexcept:
    """Text with text, truth values with truth values, numbers with numbers."""
    kind = type(value)
    if kind is str:
        return type(wanted) is str and ft_text_equal(value, wanted)
    if kind is bool or type(wanted) is bool:
        return value is wanted
    if (kind is int or kind is float) and (type(wanted) is int or type(wanted) is float):
        return PyObject_RichCompareBool(value, wanted, Py_EQ) == 1
    return False
