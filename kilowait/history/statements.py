"""The few statements that a scheduler writes, each compiled once for a dialect and then sent as text with its rows.

SQLAlchemy builds, keys and compiles a statement each time it is executed: about a third of a millisecond each, while a
decision that is to be durable in a few milliseconds writes four. Names of tables and columns still come from
`kilowait.history.schema`, and the connection is still SQLAlchemy's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Dialect, Select, Table, Update, bindparam, insert, update
from sqlalchemy.engine import Row
from sqlalchemy.sql import ClauseElement

T = TypeVar("T")
Values = Mapping[str, Any]
Change = tuple[Values, Values]
"""The columns that tell a row, of which None is looked for as NULL, and those that are set in it."""


class Compiled(NamedTuple):
    """A statement as the driver takes it; `order` names its places, None where the driver takes names."""

    text: str
    order: Sequence[str] | None

    def row(self, values: Values) -> Any:
        """Values by name as the driver takes them."""
        return values if self.order is None else tuple(values[name] for name in self.order)


class Statements:
    """Statements for one dialect, kept by what they do."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect, self._kept = dialect, dict[Any, Compiled]()

    def insert(self, connection: Connection, table: Table, rows: Sequence[Values]) -> None:
        """Add rows, all of the same columns, in one statement."""
        key = table.name, *rows[0]
        statement = self._kept.get(key) or self._keep(key, insert(table), list(rows[0]))
        connection.exec_driver_sql(statement.text, [statement.row(row) for row in rows])

    def update(self, connection: Connection, table: Table, changes: Sequence[Change]) -> int:
        """Set columns of the rows that have other columns so, all of one shape; returns how many rows there were."""
        key = (table.name, *shape(changes[0]))
        statement = self._kept.get(key) or self._keep(key, _update(table, *changes[0]))
        rows = [
            statement.row({**{f"of_{name}": value for name, value in where.items()}, **values})
            for where, values in changes
        ]
        return connection.exec_driver_sql(statement.text, rows if len(rows) > 1 else rows[0]).rowcount

    def select(self, connection: Connection, key: str, query: Select[Any], values: Values) -> Sequence[Row[Any]]:
        """The rows of a query with bound parameters; `key` names it."""
        statement = self._kept.get(key) or self._keep(key, query)
        return connection.exec_driver_sql(statement.text, statement.row(values)).all()

    def _keep(self, key: Any, statement: ClauseElement, columns: list[str] | None = None) -> Compiled:
        compiled: Any = statement.compile(dialect=self._dialect, column_keys=columns)
        order = compiled.positiontup if compiled.positional else None
        return self._kept.setdefault(key, Compiled(str(compiled), order))


def shape(change: Change) -> tuple[Any, ...]:
    """What two changes of one statement have in common."""
    where, values = change
    return *where, None, *values, tuple(value is None for value in where.values())


def _update(table: Table, where: Values, values: Values) -> Update:
    conditions = [
        table.c[name].is_(None) if value is None else table.c[name] == bindparam(f"of_{name}")
        for name, value in where.items()
    ]
    return update(table).where(*conditions).values({name: bindparam(name) for name in values})


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """The values in parts that one statement can name: databases limit its parameters."""
    return (values[start : start + 500] for start in range(0, len(values), 500))
