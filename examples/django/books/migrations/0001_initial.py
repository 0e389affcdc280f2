from django.db import migrations, models


def fill(apps, schema_editor):
    book = apps.get_model("books", "Book")
    book.objects.bulk_create([book(title=f"Volume {number}") for number in range(1, 4)])
    apps.get_model("books", "Reader").objects.create(name="Ada")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Book",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=100)),
                ("lent", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Reader",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("books", models.ManyToManyField(to="books.book")),
            ],
        ),
        migrations.RunPython(fill),
    ]
