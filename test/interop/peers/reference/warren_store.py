"""What a server remembers of calls, in an SQLite file. One process has it at a time.

States of a call, as docs/wire/memory.md names them: absent (no row), in_progress, interrupted,
completed, failed, tombstone.
"""
import fcntl
import json
import secrets
import sqlite3
import time


class Store:
    """Claims, ends and tombstones of calls. Its methods are called by one thread."""

    def __init__(self, path, retention_ms=24 * 3600 * 1000):
        self._lock = open(path + ".lock", "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("""
            PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS identity (id TEXT, created INTEGER);
            CREATE TABLE IF NOT EXISTS calls (
                key BLOB PRIMARY KEY, fingerprint BLOB, state TEXT, end TEXT, forget INTEGER);
            CREATE TABLE IF NOT EXISTS effects (call_id TEXT);
        """)
        self.retention_ms = retention_ms
        if self._db.execute("SELECT count(*) FROM identity").fetchone()[0] == 0:
            self._db.execute("INSERT INTO identity VALUES (?, ?)", (secrets.token_hex(16), now()))
        self.id, self.created = self._db.execute("SELECT id, created FROM identity").fetchone()
        # Whoever had the file before is dead: what it had begun was interrupted.
        self._db.execute("UPDATE calls SET state = 'interrupted' WHERE state = 'in_progress'")

    def get(self, key):
        """The record as (state, fingerprint, end); ("absent", None, None) without one."""
        self._db.execute("DELETE FROM calls WHERE forget < ?", (now(),))
        row = self._db.execute("SELECT state, fingerprint, end FROM calls WHERE key = ?", (key,)).fetchone()
        if row is None:
            return "absent", None, None
        return row[0], row[1], json.loads(row[2]) if row[2] else None

    def put(self, key, fingerprint, state, end=None, until=0):
        """Replaces the record, which is kept for the retention, and until that instant. It is on disk
        when this returns."""
        forget = max(now() + self.retention_ms, until)
        self._db.execute("REPLACE INTO calls VALUES (?, ?, ?, ?, ?)", (key, fingerprint, state, json.dumps(end) if end else None, forget))

    def forget(self, key):
        """Undoes a claim whose handler was never entered."""
        self._db.execute("DELETE FROM calls WHERE key = ?", (key,))

    def tombstones(self):
        return self._db.execute("SELECT count(*) FROM calls WHERE state = 'tombstone'").fetchone()[0]

    def effect(self, call_id):
        """Notes an effect of a handler, and returns how many there are of the call."""
        self._db.execute("INSERT INTO effects VALUES (?)", (call_id,))
        return self._db.execute("SELECT count(*) FROM effects WHERE call_id = ?", (call_id,)).fetchone()[0]


def now():
    """The time in Unix milliseconds."""
    return time.time_ns() // 1_000_000
