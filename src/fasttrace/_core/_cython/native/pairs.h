/* The attributes of a span until its end: references to keys and values, in the order in which the keys came. On the C
   API of CPython.

   A key seen before is replaced in place. The list is short and keys are mostly the same objects: they are searched one
   by one among FT_SEARCHED_PAIRS at most, by their hashes among more. Keys are exact texts, values exact built-ins:
   nothing in here runs Python code. The caller sees to it that nobody else is at the same list. */
#ifndef FASTTRACE_PAIRS_H
#define FASTTRACE_PAIRS_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pytext.h"

enum {
    FT_INLINE_PAIRS = 8, /* two pointers each: most spans need no second allocation */
    FT_SEARCHED_PAIRS = 16
};

typedef struct {
    PyObject **at; /* key, value, key, ... */
    uint32_t count;
    uint32_t capacity;
    uint32_t dropped;
    PyObject *own[2 * FT_INLINE_PAIRS];
} ft_pairs;

/* Where the number of a key's pair, from 1 on, is or belongs; 0 stands there while there is none. Behind the pairs there
   are twice as many slots as pairs have room, so some are always free. */
static uint32_t *ft_pairs_slot(ft_pairs *pairs, PyObject *key) {
    uint32_t *slots = (uint32_t *)(pairs->at + 2 * pairs->capacity);
    uint32_t mask = 2 * pairs->capacity - 1;
    uint32_t place = (uint32_t)PyObject_Hash(key) & mask;
    while (slots[place] != 0 && !ft_text_equal(key, pairs->at[2 * (slots[place] - 1)])) place = (place + 1) & mask;
    return &slots[place];
}

/* 0, or -1 without memory and with nothing changed. */
static int ft_pairs_grow(ft_pairs *pairs) {
    if (pairs->capacity == 0) {
        pairs->at = pairs->own;
        pairs->capacity = FT_INLINE_PAIRS;
        return 0;
    }
    uint32_t capacity = 2 * pairs->capacity;
    size_t slots = capacity > FT_SEARCHED_PAIRS ? 2 * (size_t)capacity : 0;
    PyObject **larger = (PyObject **)malloc(2 * (size_t)capacity * sizeof(PyObject *) + slots * sizeof(uint32_t));
    if (larger == NULL) return -1;
    memcpy(larger, pairs->at, 2 * (size_t)pairs->count * sizeof(PyObject *));
    if (pairs->at != pairs->own) free(pairs->at);
    pairs->at = larger;
    pairs->capacity = capacity;
    if (slots != 0) {
        memset(larger + 2 * (size_t)capacity, 0, slots * sizeof(uint32_t));
        for (uint32_t i = 0; i < pairs->count; i++) *ft_pairs_slot(pairs, larger[2 * i]) = i + 1;
    }
    return 0;
}

/* Sets one, unless there are `most` already (-1: as many as there are), when it counts as dropped. 0, or -1 with
   MemoryError set. */
static inline int ft_pairs_set(ft_pairs *pairs, int64_t most, PyObject *key, PyObject *value) {
    uint32_t i = 0, count = pairs->count;
    uint32_t *slot = NULL;
    PyObject **at = pairs->at;
    if (pairs->capacity > FT_SEARCHED_PAIRS) {
        slot = ft_pairs_slot(pairs, key);
        i = *slot != 0 ? *slot - 1 : count;
    } else {
        while (i < count && at[2 * i] != key && !ft_text_equal(key, at[2 * i])) i++;
    }
    if (i < count) {
        PyObject *before = at[2 * i + 1];
        at[2 * i + 1] = Py_NewRef(value);
        Py_DECREF(before);
        return 0;
    }
    if (most >= 0 && count >= most) {
        pairs->dropped++;
        return 0;
    }
    if (count == pairs->capacity) {
        if (ft_pairs_grow(pairs) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        at = pairs->at;
        if (pairs->capacity > FT_SEARCHED_PAIRS) slot = ft_pairs_slot(pairs, key);
    }
    at[2 * count] = Py_NewRef(key);
    at[2 * count + 1] = Py_NewRef(value);
    pairs->count = count + 1;
    if (slot != NULL) *slot = pairs->count;
    return 0;
}

static inline void ft_pairs_clear(ft_pairs *pairs) {
    uint32_t count = pairs->count;
    pairs->count = 0;
    for (uint32_t i = 0; i < 2 * count; i++) Py_DECREF(pairs->at[i]);
    if (pairs->at != pairs->own) free(pairs->at);
    pairs->at = NULL;
    pairs->capacity = 0;
}

#endif
