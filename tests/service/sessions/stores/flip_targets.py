"""Where single bits of stored rows are flipped: an SQLite file and a Redis server, each with one session in it."""

# ruff: noqa: S608 - statements are joined from the columns below and from nothing else

import math
import random
import sqlite3
import struct
from pathlib import Path
from typing import Any, Protocol

import redis

from service.sessions.stores.checksum import checksum, name_digest
from service.sessions.stores.redis_rows import requests_key, session_keys
from service.sessions.stores.sqlite_queries import SESSION_COLUMNS
from tests.service.sessions.made import TENANT

TABLES = {
    "sessions": [
        "session",
        *SESSION_COLUMNS,
        "crc",
        "indexed",
        "forked_from",
        "forked_at",
        "traits_crc",
    ],
    "states": ["session", "data"],
    "chunks": ["session", "seq", "digest", "embedding", "tokens", "token_start", "crc"],
    "keys": ["session", "key", "digest", "first_seq", "crc"],
    "snapshots": ["session", "seq", "data", "crc"],
    "requests": ["tenant", "key", "digest", "id", "crc"],
}


KINDS = (
    "record", "state", "chunk", "score", "key", "key name", "snapshot", "snapshot name", "request", "request name",
)  # fmt: skip


class Target(Protocol):
    """A stored session whose bits can be flipped."""

    def flip(self, chance: random.Random) -> str | None:
        """Flip one bit of one value and name the value; None if the backend cannot hold the flipped value."""
        ...

    def restore(self) -> None:
        """Put everything back as it was written."""
        ...


class SqliteTarget:
    """The rows of an SQLite file; only one session is in it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.text_factory = bytes
        self._database.create_function("row_crc", -1, checksum, deterministic=True)
        self._database.create_function("session_name", 2, name_digest, deterministic=True)
        # What guards against programs would only get in the way of a flipped bit.
        self._database.execute("PRAGMA ignore_check_constraints = ON")
        self._database.execute("PRAGMA synchronous = OFF")
        self._rows = {
            table: self._database.execute(self._select(table, columns)).fetchall()
            for table, columns in TABLES.items()
        }

    @staticmethod
    def _select(table: str, columns: list[str]) -> str:
        cells = ", ".join(f"typeof({column}), {column}" for column in columns)
        return f"SELECT {cells} FROM {table}"

    def flip(self, chance: random.Random) -> str | None:
        table = chance.choice(list(TABLES))
        row = chance.choice(self._rows[table])
        column = chance.randrange(len(TABLES[table]))
        kind, value = row[2 * column].decode(), row[2 * column + 1]
        flipped = flipped_value(kind, value, chance)
        if flipped is None:
            return None
        # A row is told by all of its columns: none of them is a name that cannot be flipped.
        where = " AND ".join(f"{name} IS ?" for name in TABLES[table])
        old = [as_text(row[2 * at].decode(), row[2 * at + 1]) for at in range(len(TABLES[table]))]
        what = f"UPDATE {table} SET {TABLES[table][column]} = {placeholder(kind)} WHERE {where}"
        try:
            done = self._database.execute(what, [flipped, *old])
        except sqlite3.IntegrityError:
            return None  # another row has that name, or it is no number: no such row can be stored
        return f"{table}.{TABLES[table][column]}" if done.rowcount == 1 else None

    def restore(self) -> None:
        self._database.execute("BEGIN")
        for table, columns in TABLES.items():
            self._database.execute(f"DELETE FROM {table}")
            for row in self._rows[table]:
                kinds = [kind.decode() for kind in row[::2]]
                marks = ", ".join(placeholder(kind) for kind in kinds)
                names = ", ".join(columns)
                self._database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row[1::2])
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


class RedisTarget:
    """The values of a session's keys, and of the request that began it."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client: Any = client
        self._keys = (*session_keys(TENANT, "s"), requests_key(TENANT))
        self._dumps = {name: self._client.dump(name) for name in self._keys}

    def flip(self, chance: random.Random) -> str | None:
        record, state, chunks, keys, snapshots, requests = self._keys
        match chance.choice(KINDS):
            case "record":
                what = self._flip_field(record, chance)
            case "state":
                self._client.set(state, flipped_bytes(self._client.get(state), chance))
                what = "state"
            case "chunk":
                member, score = self._chunk(chunks, chance)
                self._client.zrem(chunks, member)
                self._client.zadd(chunks, {flipped_bytes(member, chance): score})
                what = "chunk"
            case "score":
                member, score = self._chunk(chunks, chance)
                flipped = flipped_value("real", score, chance)
                if flipped is None or flipped == score:
                    return None
                self._client.zadd(chunks, {member: flipped})
                what = "chunk.score"
            case kind:
                part, _, name = kind.partition(" ")
                at = {"key": keys, "snapshot": snapshots, "request": requests}[part]
                if name:
                    return self._flip_name(at, f"{part}.name", chance)
                self._flip_field(at, chance)
                what = part
        return what

    def _flip_name(self, name: str, what: str, chance: random.Random) -> str | None:
        field = chance.choice(self._client.hkeys(name))
        flipped = flipped_bytes(field, chance)
        if self._client.hexists(name, flipped):
            return None  # no two fields have one name
        value = self._client.hget(name, field)
        self._client.hdel(name, field)
        self._client.hset(name, flipped, value)
        return what

    def _chunk(self, chunks: str, chance: random.Random) -> tuple[bytes, float]:
        found: list[tuple[bytes, float]] = self._client.zrange(chunks, 0, -1, withscores=True)
        return chance.choice(found)

    def _flip_field(self, name: str, chance: random.Random) -> str:
        field = chance.choice(self._client.hkeys(name))
        self._client.hset(name, field, flipped_bytes(self._client.hget(name, field), chance))
        return f"record.{field.decode()}"

    def restore(self) -> None:
        for name, dump in self._dumps.items():
            self._client.restore(name, 0, dump, replace=True)


def flipped_bytes(data: bytes, chance: random.Random) -> bytes:
    bit = chance.randrange(8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flipped_value(kind: str, value: Any, chance: random.Random) -> Any:
    """Return a value of a column with one bit flipped; None if there is none or it would be no number."""
    if kind == "integer":
        (flipped,) = struct.unpack("<q", flipped_bytes(struct.pack("<q", value), chance))
        return flipped
    if kind == "real":
        (flipped,) = struct.unpack("<d", flipped_bytes(struct.pack("<d", value), chance))
        return None if math.isnan(flipped) else flipped
    return flipped_bytes(value, chance) if value else None


def placeholder(kind: str) -> str:
    return "CAST(? AS TEXT)" if kind == "text" else "?"


def as_text(kind: str, value: Any) -> Any:
    return value.decode() if kind == "text" else value
