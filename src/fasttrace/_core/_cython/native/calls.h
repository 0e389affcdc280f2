/* Short ways for calls, on the C API of CPython. */
#ifndef FASTTRACE_CALLS_H
#define FASTTRACE_CALLS_H

#include <Python.h>
#include <stddef.h>

typedef PyObject *(*ft_vectorcall)(PyObject *callable, PyObject *const *arguments, size_t count, PyObject *names);
typedef PyObject *(*ft_fastcall)(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names);

/* Puts `quick` in the place of a compiled method, which it gets back to call where the short way ends. The method keeps
   its descriptor, which CPython specialises calls for, and its signature. NULL with an error set when the method is not
   one that takes its arguments as an array. */
static inline ft_fastcall ft_quicken(PyObject *type, const char *name, ft_fastcall quick) {
    PyObject *method = PyObject_GetAttrString(type, name);
    if (method == NULL) return NULL;
    PyMethodDef *definition = NULL;
    if (Py_IS_TYPE(method, &PyMethodDescr_Type)) definition = ((PyMethodDescrObject *)method)->d_method;
    Py_DECREF(method); /* the type keeps it */
    if (definition == NULL || definition->ml_flags != (METH_FASTCALL | METH_KEYWORDS)) {
        PyErr_Format(PyExc_SystemError, "%s is not compiled as an array call", name);
        return NULL;
    }
    ft_fastcall slow = (ft_fastcall)(void (*)(void))definition->ml_meth;
    definition->ml_meth = (PyCFunction)(void (*)(void))quick;
    return slow;
}

/* Whether an object's method is still the one that was quickened: neither its class nor the object has another one. */
static inline int ft_is_method(PyObject *object, PyObject *name, ft_fastcall quick) {
    PyObject *method = PyObject_GetAttr(object, name);
    if (method == NULL) {
        PyErr_Clear();
        return 0;
    }
    int same = PyCFunction_CheckExact(method) &&
               PyCFunction_GET_FUNCTION(method) == (PyCFunction)(void (*)(void))quick &&
               PyCFunction_GET_SELF(method) == object;
    Py_DECREF(method);
    return same;
}

/* Objects of this type have a vectorcall function at `offset`. It must do what the type's tp_call does. */
static inline void ft_accept_vectorcall(PyObject *type, Py_ssize_t offset) {
    ((PyTypeObject *)type)->tp_vectorcall_offset = offset;
    ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    PyType_Modified((PyTypeObject *)type);
}

/* The same for a subclass that Python code defines, which before 3.12 does not inherit it; unless it is called in
   another way. */
static inline void ft_inherit_vectorcall(PyObject *type, PyObject *base) {
    PyTypeObject *own = (PyTypeObject *)type, *from = (PyTypeObject *)base;
    if (own->tp_call == from->tp_call && own->tp_vectorcall_offset == from->tp_vectorcall_offset)
        own->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
}

/* Objects that are deallocated may wait for their next use, where the GIL guards the place in which they wait. One that
   waits is whole, owned by that place, and as known to the collector as before. */

static inline destructor ft_replace_dealloc(PyObject *type, destructor own) {
    destructor before = ((PyTypeObject *)type)->tp_dealloc;
    ((PyTypeObject *)type)->tp_dealloc = own;
    return before;
}

/* Whether an object that is being deallocated is of just this type; it is then owned by the caller. Not in a CPython that
   lists its objects, where it has been taken off the list. */
static inline int ft_keep(PyObject *object, PyObject *type) {
#if defined(Py_TRACE_REFS)
    (void)object, (void)type;
    return 0;
#else
    if (!Py_IS_TYPE(object, (PyTypeObject *)type)) return 0;
    Py_SET_REFCNT(object, 1);
    return 1;
#endif
}

/* The way back from ft_keep. */
static inline void ft_let_go(PyObject *object) { Py_SET_REFCNT(object, 0); }

/* A kept object, to its next owner. */
static inline PyObject *ft_use_again(PyObject *object) { return object; }

#endif
