"""The ports of durable state: what every part may ask of a database, a blob store, a signal.

One text of SQL serves both databases: parameters are ``$1``, ``$2``…; ``ON CONFLICT``, ``RETURNING`` and ``WITH`` exist
on both; times are integers (milliseconds), truth values 0 and 1, lists and objects JSON text, ids text made by us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

Row = tuple[Any, ...]


class Duplicate(Exception):
    """A row with this key exists already. It ends the transaction: a body that wants to go on says ``ON CONFLICT``."""


class Transaction(Protocol):
    """What the body of a transaction is handed. A body awaits nothing but this: SQLite cannot wait for anything else.

    A statement that fails ends the transaction on both databases, whether or not the body catches the error.
    """

    kind: str
    """``sqlite`` or ``postgres``: for the few texts that differ (``store/work.py``)."""

    def now(self) -> int:
        """The time of this transaction in milliseconds: the handed clock on SQLite, the database's on PostgreSQL."""
        ...

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        """Run a statement; every row as a tuple."""
        ...

    async def row(self, sql: str, *args: Any) -> Row | None:
        """Run a statement; its first row, or None."""
        ...

    async def value(self, sql: str, *args: Any) -> Any:
        """Run a statement; the first column of its first row, or None."""
        ...

    async def run(self, sql: str, *args: Any) -> int:
        """Run a statement; how many rows it inserted, changed or deleted."""
        ...

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of arguments."""
        ...


class Database(Protocol):
    """A durable store of rows. ``kind`` (``sqlite``, ``postgres``) is for what people are told and for upkeep."""

    kind: str

    @property
    def edition(self) -> int:
        """Another number after each transaction of this process that wrote more than mail (``store/editions.py``)."""
        ...

    async def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``body`` in a transaction of its own; when this returns, what it wrote is on stable storage.

        ``body`` may run more than once (a serialisation failure, a lost connection before commit): nothing outside the
        transaction may depend on how often.

        Raises:
            Unreachable: the database cannot be used now (locked, full, gone): nothing of this body happened, try later.
                One exception: a PostgreSQL that goes away while it commits may have done all of it.
            Duplicate: a row with such a key exists.
        """
        ...

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a short reading ``body`` on committed state: inline on SQLite (microseconds), pooled on PostgreSQL."""
        ...

    async def scan(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a long reading ``body`` (search, export, lists) where it disturbs nobody: a reader thread on SQLite."""
        ...

    async def close(self) -> None:
        """Let running transactions end, then let go of everything."""
        ...


class BlobStore(Protocol):
    """Immutable bytes under a reference. A row keeps the reference: ``db:KEY`` (small: in the row's own commit),
    ``file:KEY`` (large: made safe before the transaction).

    To store: ``ref = plan(key, content)``; ``await put(ref, content)``; in the transaction ``await put_in(tx, ref,
    content)``. To forget: ``await delete_in(tx, ref)`` in the transaction, ``await delete(ref)`` after its commit.
    Each does nothing for references of the other sort, so callers need not look.
    """

    def plan(self, key: str, content: bytes) -> str:
        """The reference that ``content`` will have.

        Raises:
            Invalid: ``key`` is not 1-128 letters, digits, ``.``, ``_``, ``-`` (or begins with a dot).
        """
        ...

    async def put(self, ref: str, content: bytes) -> None:
        """Before the transaction: make a large body safe on stable storage. Twice with the same bytes is harmless.

        Raises:
            Unreachable: it could not be made safe (disk full, store gone); nothing of it is left.
        """
        ...

    async def put_in(self, tx: Transaction, ref: str, content: bytes) -> None:
        """In the transaction: store a small body. Twice is harmless."""
        ...

    async def get(self, ref: str) -> bytes:
        """The bytes.

        Raises:
            NotFound: there is no such blob.
            Unreachable: it cannot be read now.
        """
        ...

    async def delete_in(self, tx: Transaction, ref: str) -> None:
        """In the transaction: forget a small body; one that is not there is forgotten already."""
        ...

    async def delete(self, ref: str) -> None:
        """After the commit: forget a large body; one that is not there is forgotten already."""
        ...

    async def check(self) -> None:
        """Could a body be stored now?

        Raises:
            Unreachable: no.
        """
        ...


class Buckets(Protocol):
    """Objects that accounts name by bucket and key: S3's, or folders of our own. Reading only."""

    async def look(self, bucket: str, key: str) -> tuple[int, str]:
        """An object's octets, and a tag that another edition of it does not have.

        Raises:
            NotFound: there is no such object, or we may not read it.
            Unreachable: it cannot be read now.
        """
        ...

    async def read(self, bucket: str, key: str, tag: str, start: int, size: int) -> bytes:
        """At most ``size`` octets from ``start``; nothing behind the end.

        Raises:
            NotFound: there is no such object any more, or it is another edition of it.
            Unreachable: it cannot be read now.
        """
        ...


@runtime_checkable
class Sweeping(Protocol):
    """A blob store that a crash can leave things in that nobody refers to."""

    async def sweep(self) -> int:
        """Remove what was never finished; how many."""
        ...

    async def stored_before(self, days: float = 1.0) -> list[str]:
        """References of blobs outside the database that are older."""
        ...


class Signal(Protocol):
    """A hint that work may be due, across tasks (and nodes): losing one costs a poll interval, never the work."""

    def wake(self, topic: str, key: str = "") -> None:
        """Tell those who listen to ``topic`` that ``key`` has something to do. Called after commit."""
        ...

    def listen(self, topic: str, hear: Callable[[str], None]) -> Callable[[], None]:
        """Call ``hear(key)`` on the event loop at each wake; the returned function ends it."""
        ...
