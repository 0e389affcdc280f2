# What callers give for names and enumeration members, as spans have it. Nothing raises.
from libc.stdint cimport uint8_t


cdef inline object text_of(object value):
    """The text of a name that is not an exact str; "" when it has none."""
    try:
        return str.__str__(value) if isinstance(value, str) else str.__str__(str(value))
    except Exception:
        return ""


cdef inline uint8_t number_of(object value, int largest) except? 255:
    """The number of an enumeration member of ours or of OpenTelemetry's; 0 for what is none."""
    # Where enum keeps it: ``value`` would run Python code.
    number = getattr(value, "_value_", value)
    if isinstance(number, int) and 0 <= number <= largest:
        return number
    return 0
