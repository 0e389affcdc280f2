"""A bookshop: FastAPI in front of SQLAlchemy."""

import logging
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

import fasttrace
from models import Author, Book, engine

fasttrace.configure(service_name="bookshop")
fasttrace.instrument("fastapi", "sqlalchemy", "logging")

logging.basicConfig(format="%(levelname)s %(message)s trace_id=%(trace_id)s", level=logging.INFO)
log = logging.getLogger("bookshop")
tracer = fasttrace.get_tracer("bookshop")
app = FastAPI()


class BankError(Exception):
    pass


@app.exception_handler(BankError)
def bank_failed(request: Request, error: BankError) -> JSONResponse:
    log.error("not charged: %s", error)
    return JSONResponse({"detail": "the bank does not answer"}, 502)


def session() -> Iterator[Session]:
    with Session(engine) as found:
        yield found


Database = Annotated[Session, Depends(session)]


class Order(BaseModel):
    book: int
    copies: int = 1


@app.get("/authors")
def authors(database: Database) -> list[dict[str, Any]]:
    # One query for the authors, and one more for the books of each: the waterfall says so.
    return [
        {"name": author.name, "books": [book.title for book in author.books]}
        for author in database.scalars(select(Author))
    ]


@app.post("/orders", status_code=201)
def order(wanted: Order, database: Database) -> dict[str, int]:
    span = fasttrace.current_span()
    span.set_attribute("order.copies", wanted.copies)
    book = database.get(Book, wanted.book)
    if book is None:
        raise HTTPException(404, "no such book")
    if book.copies < wanted.copies:
        log.warning("%s is sold out", book.title)
        raise HTTPException(409, "sold out")
    book.copies -= wanted.copies
    if book.copies == 0:
        span.add_event("last copy sold", {"book.id": book.id})
    charge(wanted)
    database.commit()
    return {"copies": wanted.copies}


@tracer.start_as_current_span("charge")
def charge(wanted: Order) -> None:
    if wanted.copies > 2:
        raise BankError("connection refused")
    log.info("charged for %s", wanted.copies)
