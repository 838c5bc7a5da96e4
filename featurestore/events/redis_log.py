"""Adapter: the event log on Redis Streams.

An entry holds a batch (`log_entry.py`). Its id is the offset of the batch's first event and the moment it was appended,
so ids ascend with offsets and a reader resumes from an offset alone: consumer groups would keep the same fact twice.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import polars as pl
import redis

from ...runtime import redis_client
from ...runtime.errors import Fenced, StorageError
from ...runtime.settings import Settings
from . import redis_log_scripts as scripts
from .log import BYTES_A_READ, Batch, DeadLetter, Held, Mark, Offsets, Piece, Runs, overtaken, pieces
from .log_entry import batch_of, packed, packed_piece
from .redis_blank import blank

_Entry = tuple[bytes, dict[bytes, bytes]]
PARTITIONS = 4
DEAD_LETTERS_KEPT = 100_000
TOKEN_S = 86_400
RETRY_TOKEN_S = 120  # a command whose connection broke is repeated within seconds
_SHOWN_BYTES = 2_000


class RedisLog:
    """One stream and one offset counter a partition, on the same shard by their hash tag.

    How many partitions there are is stored with the log, by whoever opens it first: all agree on it for ever.
    Whatever it asks may be asked twice, so the client may repeat what a broken connection swallowed. `known` are the
    last offsets that the offline table holds: a server that lost its last second must not give them out again.
    """

    def __init__(
        self,
        client: redis.Redis,
        settings: Settings,
        *,
        name: str,
        partitions: int = PARTITIONS,
        known: Callable[[], Offsets] = dict,
    ) -> None:
        self._client = client
        self._settings = settings
        self._name = name
        self._known = known
        # A server that has started anew has no scripts, so this one is loaded once a run, after a look at `known`.
        self._append = f"-- {name}\n{scripts.APPEND}"
        self._relay = f"-- {name}\n{scripts.RELAY}"
        with redis_client.translated(settings):
            pipeline = client.pipeline(transaction=False)
            pipeline.setnx(f"er:partitions:{{{name}}}", partitions)
            pipeline.get(f"er:partitions:{{{name}}}")
            self.partitions = int(pipeline.execute()[1])

    def append(self, parts: Mapping[int, pl.DataFrame], *, token: str = "") -> list[Batch]:
        """Adds each partition's events at its next offsets."""
        seconds = TOKEN_S if token else RETRY_TOKEN_S
        token = token or secrets.token_hex(8)
        asked = []
        for partition, frame in parts.items():
            entries = [part for piece in pieces(frame) for part in (piece.height, packed(piece))]
            asked.append((self._append, self._append_keys(partition, token), [seconds, *entries]))
        first = self._each(asked)
        return [Batch(partition, int(at), parts[partition]) for partition, at in zip(parts, first, strict=True)]

    def append_pieces(self, parts: Sequence[Piece]) -> Offsets:
        """Adds each piece; staged rows stay where they are."""
        asked = []
        for piece in parts:
            keys = self._append_keys(piece.partition, f"{piece.mark.source}:{piece.mark.rows}")
            asked.append((self._append, keys, [TOKEN_S, piece.height, packed_piece(piece)]))
        first = self._each(asked)
        return {piece.partition: int(at) + piece.height - 1 for piece, at in zip(parts, first, strict=True)}

    def relay(self, source: str, parts: Mapping[int, pl.DataFrame], *, since: Offsets, upto: int) -> None:
        """Adds what comes from another log."""
        asked = []
        for partition, frame in parts.items():
            keys = [*self._append_keys(partition, secrets.token_hex(8)), self._key(f"relayed:{source}", partition)]
            entries = [frame.height, packed(frame, mark=Mark(source, upto + 1))] if frame.height else []
            asked.append((self._relay, keys, [RETRY_TOKEN_S, *entries, since[partition], upto]))
        try:
            self._each(asked)
        except redis.exceptions.ResponseError as error:
            if "OVERTAKEN" in str(error):
                raise overtaken(source) from None
            raise

    def relayed(self, source: str) -> Offsets:
        """How far each partition has come with that other log."""
        return {p: -1 if at is None else int(at) for p, at in enumerate(self._got(f"relayed:{source}"))}

    def runs(self) -> Runs:
        """The id that every server draws when it starts."""
        found = self._each([(scripts.RUN, [self._key("log", partition)], []) for partition in range(self.partitions)])
        return {partition: run.decode() for partition, run in enumerate(found)}

    def read(self, after: Offsets, *, events: int, runs: Runs | None = None) -> list[Batch]:
        """The next batches of each partition, by the ids of their entries."""
        run = runs or {}
        asked = [
            (
                scripts.READ,
                [self._key("log", partition)],
                [run.get(partition, ""), f"{offset + 1}-0", events, BYTES_A_READ],
            )
            for partition, offset in after.items()
        ]
        found = []
        for partition, entries in zip(after, self._each(asked), strict=True):
            for entry_id, flat in entries:
                entry = (entry_id, dict(zip(flat[::2], flat[1::2], strict=True)))
                try:
                    found.append(_batch(partition, entry, self.partitions))
                except StorageError:
                    raise  # staged rows that are gone may come back; the entry is ours
                except Exception as error:  # noqa: BLE001 - foreign bytes break Arrow's reader in many ways
                    self._put_aside(partition, entry, reason=f"not an event batch of ours: {error}")
        return found

    def ends(self) -> Offsets:
        """The last offset of each partition that was given to an event."""
        return {partition: int(following or 0) - 1 for partition, following in enumerate(self._got("next"))}

    def raise_to(self, ends: Offsets) -> None:
        """No event to come gets an offset at or before these."""
        self._each([(scripts.RAISE, [self._key("next", p)], ["", offset + 1, 0]) for p, offset in ends.items()])

    def checkpoints(self) -> Offsets:
        """The last offset of each partition whose effect is stored online."""
        return {partition: -1 if at is None else int(at) for partition, at in enumerate(self._got("checkpoint"))}

    def advance(self, ends: Offsets, *, runs: Runs | None = None) -> None:
        """Moves the checkpoints."""
        run = runs or {}
        self._each([(scripts.RAISE, [self._key("checkpoint", p)], [run.get(p, ""), at, -1]) for p, at in ends.items()])

    def trim(self, ends: Offsets) -> None:
        """Drops whole batches that begin at or before the offsets; the caller passes ends of batches."""
        self._each([(scripts.TRIM, [self._key("log", p), self._key("held", p)], [at + 1]) for p, at in ends.items()])

    def held(self) -> Mapping[int, Held]:
        """How much each partition holds."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition in range(self.partitions):
                pipeline.hmget(self._key("held", partition), "events", "bytes")
            counts = pipeline.execute()
        return {partition: Held(int(n or 0), int(size or 0)) for partition, (n, size) in enumerate(counts)}

    def waiting_since_ms(self, after: Offsets) -> Mapping[int, int | None]:
        """When the oldest batch beyond these offsets was appended."""
        ids = self._each([(scripts.SINCE, [self._key("log", p)], [f"{offset + 1}-0"]) for p, offset in after.items()])
        return {p: None if found is None else int(found.split(b"-")[1]) for p, found in zip(after, ids, strict=True)}

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Puts rows aside: those with a place under their offset, which is there once, the others as they come."""
        if not letters:
            return
        placed: dict[int, list[object]] = {}
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for letter in letters:
                if letter.place is None:
                    fields: dict[Any, Any] = {"reason": letter.reason, "row": letter.row}
                    pipeline.xadd(self._graves()[0], fields, maxlen=DEAD_LETTERS_KEPT)
                else:
                    partition, offset = letter.place
                    placed.setdefault(partition, []).extend((offset, letter.reason, letter.row))
            pipeline.execute()
        self._each([(scripts.BURY, [self._key("dead", p)], [DEAD_LETTERS_KEPT, *rows]) for p, rows in placed.items()])

    def buried(self, *, most: int = 100) -> list[DeadLetter]:
        """The rows put aside: those refused before they reached the log, foreign entries, then those of partitions."""
        graves = self._graves()
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for key in graves:
                pipeline.xrevrange(key, count=most)
            answers = pipeline.execute()
        found = []
        for grave, entries in enumerate(answers):
            partition = grave - len(graves) + self.partitions
            for entry_id, entry in reversed(entries):
                place = (partition, int(entry_id.split(b"-")[0])) if partition >= 0 else None
                reason, row = (_text(entry[name]) for name in (b"reason", b"row"))
                found.append(DeadLetter(reason, row, place, f"{grave}/{entry_id.decode()}"))
        return found[-most:]

    def buried_count(self) -> int:
        """How many there are."""
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for key in self._graves():
                pipeline.xlen(key)
            return int(sum(pipeline.execute()))

    def forget(self, letters: Sequence[DeadLetter]) -> None:
        """Drops letters that were dealt with."""
        graves = self._graves()
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for letter in letters:
                place, _, entry_id = letter.id.partition("/")
                pipeline.xdel(graves[int(place)], entry_id)
            pipeline.execute()

    def blank(self, where: pl.Expr) -> list[pl.DataFrame]:
        """Makes these events all null where they stand; as they were."""
        gone: list[pl.DataFrame] = []
        with redis_client.translated(self._settings):
            for partition in range(self.partitions):
                log, held = self._key("log", partition), self._key("held", partition)
                gone += blank(self._client, log, held=held, where=where, place=(partition, self.partitions))
        return gone

    def _put_aside(self, partition: int, entry: _Entry, *, reason: str) -> None:
        """The entry goes from the log to the dead letters, in one step."""
        entry_id, fields = entry
        shown = {_text(name): _text(value[:_SHOWN_BYTES]) for name, value in fields.items()}
        letter: dict[Any, Any] = {"reason": reason[:_SHOWN_BYTES], "row": json.dumps(shown)}
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=True)
            pipeline.xdel(self._key("log", partition), entry_id)
            pipeline.xadd(self._key("foreign", partition), letter)
            pipeline.execute()

    def _each(self, asked: Sequence[tuple[str, list[str], list[Any]]]) -> list[Any]:
        """Scripts in one round trip."""
        if not asked:
            return []
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for script, keys, args in asked:
                pipeline.evalsha(_sha(script), len(keys), *keys, *args)
            try:
                return pipeline.execute()
            except redis.exceptions.NoScriptError:
                self._load({script for script, _, _ in asked})
                return self._each(asked)
            except redis.exceptions.ResponseError as error:
                if "REWOUND" in str(error):
                    raise Fenced(
                        f"the server of {self._name} was started anew; its partitions are opened again"
                    ) from None
                raise

    def _load(self, wanted: set[str]) -> None:
        if wanted & {self._append, self._relay}:
            self.raise_to(self._known())
        for script in wanted:
            self._client.script_load(script)

    def _got(self, kind: str) -> list[bytes | None]:
        with redis_client.translated(self._settings):
            pipeline = self._client.pipeline(transaction=False)
            for partition in range(self.partitions):
                pipeline.get(self._key(kind, partition))
            return pipeline.execute()

    def _append_keys(self, partition: int, token: str) -> list[str]:
        return [self._key(kind, partition) for kind in ("log", "next", "held", f"token:{token}", "foreign")]

    def _key(self, kind: str, partition: int) -> str:
        return f"er:{kind}:{{{self._name}:{partition}}}"

    def _graves(self) -> list[str]:
        partitions = range(self.partitions)
        return [self._key("refused", 0), *(self._key(k, p) for k in ("foreign", "dead") for p in partitions)]


@cache
def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _batch(partition: int, entry: _Entry, partitions: int) -> Batch:
    entry_id, fields = entry
    if fields.keys() != {b"n", b"arrow"}:
        raise ValueError("other fields than n and arrow")
    place = partition, int(entry_id.split(b"-")[0])
    return batch_of(fields[b"arrow"], place=place, events=int(fields[b"n"]), partitions=partitions)


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
