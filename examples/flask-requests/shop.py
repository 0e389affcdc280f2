"""The service that customers see: asks another one for each price."""

import logging
import os

import requests
from flask import Flask, request

import fasttrace

fasttrace.configure(service_name="shop")
fasttrace.instrument("flask", "requests", "logging")

logging.basicConfig(format="%(levelname)s %(message)s trace_id=%(trace_id)s", level=logging.INFO)
tracer = fasttrace.get_tracer("shop")
prices = requests.Session()
PRICES = os.environ.get("PRICES_URL", "http://127.0.0.1:8001")

app = Flask(__name__)


@app.get("/basket")
def basket():
    items = request.args.get("items", "apple,pear").split(",")
    with tracer.start_as_current_span("add up", attributes={"basket.items": len(items)}) as span:
        total = 0
        for item in items:
            answer = prices.get(f"{PRICES}/prices/{item}", timeout=2)
            if answer.status_code == 404:
                span.add_event("item left out", {"item": item})
                continue
            answer.raise_for_status()
            total += answer.json()["price"]
    return {"items": items, "total": total}


@app.errorhandler(requests.RequestException)
def prices_failed(error):
    app.logger.error("no prices: %s", error)
    return {"error": "prices are not available"}, 502
