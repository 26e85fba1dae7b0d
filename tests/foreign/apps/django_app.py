import json, sys, uuid, datetime, decimal
import django
from django.conf import settings
kind, target, step = sys.argv[1:4]
base = {"ENGINE": "django.db.backends.sqlite3", "NAME": target} if kind == "sqlite" else {
    "ENGINE": "django.db.backends.postgresql", **json.loads(target)}
settings.configure(DATABASES={"default": base}, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], USE_TZ=True,
                   DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()
from django.core.management import call_command
from django.db import connection, models

class Shelf(models.Model):
    label = models.CharField(max_length=20, unique=True)
    class Meta: app_label = "books"; db_table = "books_shelf"

class Book(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    printed = models.DateTimeField()
    day = models.DateField(null=True)
    at = models.TimeField(null=True)
    meta = models.JSONField(default=dict)
    good = models.BooleanField(default=True)
    cover = models.BinaryField(null=True)
    stock = models.PositiveIntegerField(default=0)
    shelf = models.ForeignKey(Shelf, null=True, on_delete=models.SET_NULL)
    class Meta: app_label = "books"; db_table = "books_book"

if step == "make":
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Shelf); editor.create_model(Book)
    shelf = Shelf.objects.create(label="top")
    utc = datetime.timezone.utc
    for n in range(4):
        Book.objects.create(id=uuid.UUID(int=n + 1), title=f"Book {n}", price=decimal.Decimal("1.50") + n, day=datetime.date(2026, 1, n + 1),
            printed=datetime.datetime(2026, 1, 2, 3, 4, n, 123456 if n % 2 else 0, utc), at=datetime.time(1, 2, n), meta={"n": n, "deep": [None, 1.5]},
            cover=bytes([n, 255]), shelf=shelf if n else None)
else:
    print(json.dumps([[str(b.id), b.title, str(b.price), b.printed.isoformat(), str(b.day), str(b.at), b.meta, b.good,
                       b.cover and bytes(b.cover).hex(), b.stock, b.shelf and b.shelf.label] for b in Book.objects.order_by("id").select_related("shelf")]))
