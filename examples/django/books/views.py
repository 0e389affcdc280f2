import logging

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

import fasttrace
from books.models import Book, Reader

log = logging.getLogger(__name__)
tracer = fasttrace.get_tracer(__name__)


def books(request: HttpRequest) -> JsonResponse:
    return JsonResponse({book.title: "lent" if book.lent else "here" for book in Book.objects.all()})


@require_POST
def lend(request: HttpRequest, book_id: int) -> JsonResponse:
    with transaction.atomic():
        book = get_object_or_404(Book, id=book_id)
        reader = Reader.objects.first()
        with tracer.start_as_current_span("check rules", attributes={"book.id": book_id}) as span:
            if book.lent:
                span.add_event("already lent")
                log.warning("%s is lent already", book.title)
                return JsonResponse({"error": "already lent"}, status=409)
        book.lent = True
        book.save()
        reader.books.add(book)
    log.info("lent %s", book.title)
    return JsonResponse({"lent": book.title})
