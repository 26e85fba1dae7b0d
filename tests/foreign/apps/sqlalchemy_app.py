import datetime, decimal, enum, json, sys, uuid
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column, relationship
kind, target, step = sys.argv[1:4]
engine = sa.create_engine(target)
class Base(DeclarativeBase): pass
class State(enum.Enum):
    idle = "idle"
    busy = "busy"
class Shelf(Base):
    __tablename__ = "shelf"
    id = mapped_column(sa.Integer, primary_key=True)
    label = mapped_column(sa.String(20), unique=True)
class Book(Base):
    __tablename__ = "book"
    id = mapped_column(sa.Uuid, primary_key=True, default=uuid.uuid4)
    title = mapped_column(sa.String(80), nullable=False)
    price = mapped_column(sa.Numeric(8, 2), nullable=False)
    printed = mapped_column(sa.DateTime, nullable=False)
    day = mapped_column(sa.Date)
    at = mapped_column(sa.Time)
    meta = mapped_column("meta", sa.JSON)
    good = mapped_column(sa.Boolean, nullable=False, default=True)
    cover = mapped_column(sa.LargeBinary)
    state = mapped_column(sa.Enum(State), nullable=False, default=State.idle)
    shelf_id = mapped_column(sa.ForeignKey("shelf.id"))
    shelf = relationship(Shelf)
if step == "make":
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        shelf = Shelf(label="top")
        for n in range(4):
            session.add(Book(id=uuid.UUID(int=n + 1), title=f"Book {n}", price=decimal.Decimal("1.50") + n, day=datetime.date(2026, 1, n + 1),
                printed=datetime.datetime(2026, 1, 2, 3, 4, n, 123456 if n % 2 else 0), at=datetime.time(1, 2, n), meta={"n": n, "deep": [None, 1.5]},
                cover=bytes([n, 255]), shelf=shelf if n else None))
        session.commit()
else:
    with Session(engine) as session:
        print(json.dumps([[str(b.id), b.title, str(b.price), b.printed.isoformat(), str(b.day), str(b.at), b.meta, b.good,
                           b.cover and b.cover.hex(), b.state.value, b.shelf and b.shelf.label] for b in session.scalars(sa.select(Book).order_by(Book.id))]))
