"""Record layout, flag bits and limits: the one source that both implementations are tested against.

A record is a 64-byte little-endian header followed by the protobuf *body* of an OTLP ``Span``,
without its outer tag and length. Nothing in it is a pointer.

====== ==== ==========================================================
offset size field
====== ==== ==========================================================
0      2    magic
2      1    kind of record
3      1    flags
4      4    total length in bytes, header included
8      4    scope index (position in ``Recorder.scopes``)
12     4    sequence number, wraps at 2**32; a gap is a lost record
16     4    tail-rule bits
20     4    route hash
24     16   trace id, network byte order
40     8    span id, network byte order
48     8    start, nanoseconds since the Unix epoch
56     8    duration, nanoseconds
====== ==== ==========================================================
"""

from struct import Struct

RECORD_HEADER = Struct("<HBBIIIII16s8sQQ")
RECORD_HEADER_BYTES = RECORD_HEADER.size
RECORD_MAGIC = 0x7FA5

RECORD_KIND_SPAN = 1
RECORD_KIND_PAD = 2

RECORD_FLAG_SAMPLED = 0x01
RECORD_FLAG_ERROR = 0x02
RECORD_FLAG_LOCAL_ROOT = 0x04
RECORD_FLAG_HTTP_5XX = 0x08
RECORD_FLAG_REMOTE_PARENT = 0x10

TRACE_FLAG_SAMPLED = 0x01
TRACE_FLAG_RANDOM = 0x02

# opentelemetry-proto, SpanFlags: whether the parent's remoteness is known, and whether it is remote.
SPAN_FLAG_HAS_IS_REMOTE = 0x100
SPAN_FLAG_IS_REMOTE = 0x200

# A sampler keeps a trace when the low 56 bits of its id are at or above a threshold of 0 to 2**56; a threshold of -b
# keeps ids whose low 64 bits are below b (OpenTelemetry's TraceIdRatioBased); ASK leaves it to `Recorder.decide`.
RANDOMNESS_BITS = 56
THRESHOLD_ALWAYS = 0
THRESHOLD_NEVER = 1 << RANDOMNESS_BITS
THRESHOLD_ASK = THRESHOLD_NEVER + 1
# A sampler's answer (OpenTelemetry Trace SDK, "ShouldSample").
DECISION_DROP, DECISION_RECORD_ONLY, DECISION_RECORD_AND_SAMPLE = 0, 1, 2

# The bits of a record and of a trace; the lowest that is set names the reason for which a trace is kept.
TAIL_KEEP = 1 << 0
TAIL_FIRST_RULE = 1
TAIL_MAX_RULES = 27
TAIL_RECALL = 1 << 28
TAIL_CALLEE = 1 << 29
TAIL_HEAD = 1 << 30

# Histograms of durations have four buckets to a power of two, from 2**10 ns (1 us) to 2**40 ns (18 min).
DURATION_FIRST_POWER = 10
DURATION_LAST_POWER = 39
DURATION_BUCKETS = 1 + 4 * (DURATION_LAST_POWER - DURATION_FIRST_POWER + 1)

# Larger than any batch that a collector takes in its default settings (gRPC: 4 MiB).
MAX_RECORD_BYTES = 4 * 1024 * 1024
RING_BYTES = 1024 * 1024
# A record above this share of the ring goes around it: its pad could make it unplaceable.
RING_LARGEST_SHARE = 8

DEFAULT_QUEUE_SPANS = 10_000
DEFAULT_QUEUE_BYTES = 16 * 1024 * 1024

# One span in so many is timed, first the one in the middle: a prime number, so that no pattern of the application's
# spans meets only some of its own.
TIMED_EVERY = 251
TIMED_FIRST = 125

# How much of a trace is recorded, as its local root found it: everything, no spans below local roots, and of those no
# attributes but the two that tail rules and readers need most. Roots with less than everything say so.
DETAIL_FULL, DETAIL_LOCAL_ROOTS, DETAIL_BARE = 0, 1, 2
DETAILS = ("full", "local_roots", "bare")
DETAIL_KEY = "fasttrace.detail"
DETAIL_KEPT_KEYS = ("http.response.status_code", "http.route")

# The trace store. A trace in its table and a record that it holds count as at least what the compiled one spends.
DEFAULT_STORE_BYTES = 32 * 1024 * 1024
DEFAULT_TRACE_BYTES = 2 * 1024 * 1024
DEFAULT_GRACE_NS = 1_000_000_000
DEFAULT_REMEMBERED_TRACES = 32_768
STORE_ENTRY_BYTES = 160
STORE_RECORD_BYTES = 32
# What is remembered of decided traces takes at most this share of the cap.
STORE_REMEMBERED_SHARE = 4
# Routes that a rule tells apart; the rest share one place.
STORE_ROUTES = 1024
# Local roots of a route before its percentiles are believed, and at which its counts are halved.
PERCENTILE_FIRST = 100
PERCENTILE_HALVED_AT = 4096

# How deep attribute values may nest when encoding and when decoding; deeper values become None.
MAX_VALUE_DEPTH = 32

DROP_REASONS = (
    "queue_full",
    "too_large",
    "encode_error",
    "after_shutdown",
    "forked",
    "export_failed",
    "rejected",
    "spool_full",
    "trace_evicted",
)


def check_record(record: bytes) -> None:
    """Raise TypeError for what is not bytes, ValueError for bytes that are not one whole span record."""
    if type(record) is not bytes:
        raise TypeError(f"a record is bytes, not {type(record).__name__}")
    if len(record) < RECORD_HEADER_BYTES or len(record) != int.from_bytes(record[4:8], "little"):
        raise ValueError(f"{len(record)} bytes that are not one whole record: its header gives another length")
    if record[:3] != RECORD_MAGIC.to_bytes(2, "little") + bytes([RECORD_KIND_SPAN]):
        raise ValueError(f"not a span record: it begins with {record[:3].hex()}")


def duration_bucket(ns: int) -> int:
    """The bucket of a duration in nanoseconds; the first is everything below 2**10 ns, the last all that is longer."""
    power = ns.bit_length() - 1
    if power < DURATION_FIRST_POWER:
        return 0
    if power > DURATION_LAST_POWER:
        return DURATION_BUCKETS - 1
    return 1 + 4 * (power - DURATION_FIRST_POWER) + (ns >> power - 2 & 3)


def duration_of(bucket: int) -> int:
    """The shortest duration of a bucket, in nanoseconds."""
    if bucket <= 0:
        return 0
    power, quarter = divmod(bucket - 1, 4)
    return 4 + quarter << DURATION_FIRST_POWER + power - 2


def check_thresholds(values: tuple[int, ...]) -> tuple[int, ...]:
    """Five thresholds as a tuple; ValueError for anything else."""
    values = tuple(values)
    if len(values) != 5 or not all(
        isinstance(value, int) and (-(2**64) <= value <= THRESHOLD_NEVER or value == THRESHOLD_ASK) for value in values
    ):
        raise ValueError(
            f"thresholds={values!r}: five integers: 0 to 2**56 (kept at or above), THRESHOLD_ASK, or -b for ids below b"
        )
    return values


def check_detail(value: int) -> int:
    """A level of detail; ValueError for anything else."""
    if value not in range(len(DETAILS)):
        raise ValueError(f"detail={value!r}: 0 for everything, 1 for local roots only, 2 for those without attributes")
    return value


def check_ot_members(values: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """Five texts or None as a tuple; ValueError for anything else."""
    values = tuple(values)
    if len(values) != 5 or not all(value is None or type(value) is str for value in values):
        raise ValueError(f"ot_members={values!r}: five texts such as 'th:c', or None")
    return values
