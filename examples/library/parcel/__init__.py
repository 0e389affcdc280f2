"""What a parcel costs: a library that traces, and leaves it to the application whether, how much and whereto.

It asks for a tracer and nothing more. Until an application configures tracing its spans are nothing, and cost next to
nothing.
"""

from parcel.quotes import Quote, quote

__all__ = ["Quote", "quote"]
