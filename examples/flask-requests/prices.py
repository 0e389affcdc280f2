"""The service behind it."""

import time

from flask import Flask, abort

import fasttrace

fasttrace.configure(service_name="prices")
fasttrace.instrument("flask")

PRICES = {"apple": 3, "pear": 4, "melon": 12}

app = Flask(__name__)


@app.get("/prices/<item>")
def price(item):
    fasttrace.current_span().set_attribute("item", item)
    if item == "durian":
        abort(503, "nobody wants to weigh it")
    if item not in PRICES:
        abort(404)
    if item == "melon":
        time.sleep(0.2)  # it is heavy
    return {"price": PRICES[item]}
