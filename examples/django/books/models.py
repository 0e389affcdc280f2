from django.db import models


class Book(models.Model):
    title = models.CharField(max_length=100)
    lent = models.BooleanField(default=False)


class Reader(models.Model):
    name = models.CharField(max_length=100)
    books = models.ManyToManyField(Book)
