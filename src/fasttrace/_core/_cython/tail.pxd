from libc.stdint cimport int64_t, uint32_t

cdef extern from "atomics.h" nogil:
    uint32_t ft_or_acq_rel_u32(uint32_t *word, uint32_t bits)
    uint32_t ft_load_acquire_u32(const uint32_t *word)

# What the spans of one local root share: the bits of the rules that were met so far.
cdef class LocalTrace:
    cdef uint32_t bits

cdef struct LatencyRule:
    int64_t nanoseconds
    uint32_t mask

cdef struct AttributeRule:
    uint32_t mask
    bint bounded
    double minimum
    double maximum

cdef class TailRules:
    cdef readonly tuple rules
    cdef uint32_t error_mask
    cdef uint32_t http_5xx_mask
    cdef uint32_t exception_mask
    cdef uint32_t latency_count
    cdef uint32_t attribute_count
    cdef LatencyRule latency[27]
    cdef AttributeRule attribute[27]
    cdef list keys    # of the attribute rules, and their values: tuples or None
    cdef list values
    cdef uint32_t duration_bits(self, int64_t nanoseconds) noexcept
    cdef uint32_t attribute_bits(self, object key, object value) noexcept
