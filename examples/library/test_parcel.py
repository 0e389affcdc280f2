"""The library's tests: the fixture ``spans`` comes with fasttrace, and needs no configuration."""

import asyncio

import pytest

from parcel import Quote, quote


def test_the_cheapest_carrier_is_taken():
    assert asyncio.run(quote(1.5)) == Quote("snail", 6)


def test_every_carrier_is_asked_once_and_at_the_same_time(spans):
    asyncio.run(quote(10))

    best = spans.one("parcel.quote", {"parcel.carrier": "pigeon"})
    assert best.attributes["parcel.weight"] == 10
    spans.max("parcel.ask", count=3)
    assert (
        spans.tree("parcel.carrier", ordered=False)
        == """\
parcel.quote parcel.carrier=pigeon
├─ parcel.ask parcel.carrier=hare
├─ parcel.ask parcel.carrier=pigeon
└─ parcel.ask parcel.carrier=snail"""
    )


def test_what_nobody_takes_is_an_error_that_says_why(spans):
    with pytest.raises(ValueError, match="too heavy for everybody"):
        asyncio.run(quote(40))

    assert spans.one("parcel.quote", error=True).status.description == "ValueError: 40 kg are too heavy for everybody"
    assert [event.name for span in spans.all("parcel.ask") for event in span.events] == ["too heavy"] * 3
