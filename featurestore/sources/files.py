"""Files of rows: found by path, folder, glob or URI, and read lazily in chunks as typed frames."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ...runtime.errors import InputError, did_you_mean
from ..definitions.schema import TIMESTAMP, conform, polars_type

READ_ROWS = 100_000
FILE_KINDS = (".parquet", ".csv", ".jsonl", ".ndjson")
# What the types of one value each are called, and what JSON has for them.
_MEANT = {
    "int64": "a whole number",
    "int32": "a whole number of 32 bits",
    "float64": "a number",
    "float32": "a number",
    "bool": "true or false",
    "string": "text",
    "timestamp": "a time like 2026-01-31T12:00:00Z",
}
_JSON: dict[str, tuple[type, ...]] = {
    "int64": (int,),
    "int32": (int,),
    "float64": (int, float),
    "float32": (int, float),
    "bool": (bool,),
    "string": (str,),
}
_BITS = {"int64": 63, "int32": 31}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file, or one Delta table; `mark` changes when its content does."""

    path: str
    kind: str  # one of FILE_KINDS, or "delta"
    mark: str
    bytes: int = 0  # 0 where that is not known


def found_files(path: str) -> list[SourceFile]:
    """The files behind a path, in order of their names; raises `InputError` for none, or an unknown kind."""
    if "://" in path and not path.startswith("file://"):
        return [SourceFile(path, _kind(path), _remote_mark(path))]
    path = path.removeprefix("file://")
    root = Path(path).expanduser()
    if (root / "_delta_log").is_dir():
        return [SourceFile(str(root), "delta", str(pl.scan_delta(str(root)).collect_schema()) + _delta_mark(root))]
    if root.is_dir():
        found = sorted(file for file in root.rglob("*") if file.suffix in FILE_KINDS and file.is_file())
        kinds = sorted({file.suffix for file in found})
        if not found:
            raise InputError(
                f"cannot ingest {path}: the folder holds no {', '.join(FILE_KINDS)} file and is no Delta table"
            )
        if len(kinds) > 1:
            raise InputError(
                f"cannot ingest {path}: the folder holds {' and '.join(kinds)} files; "
                f"name one kind, as in {path}/*{kinds[0]}"
            )
    elif root.exists():
        found = [root]
    else:
        found = [Path(file) for file in sorted(glob.glob(str(root), recursive=True)) if Path(file).is_file()]
        if not found:
            _kind(path)
            raise InputError(f"cannot read {path}: there is no such file, folder or match")
    return [SourceFile(str(file), _kind(str(file)), _mark(file), file.stat().st_size) for file in found]


def identity_of(files: Sequence[SourceFile]) -> str:
    """Tells these files, in their present state, from all others."""
    told = "\n".join(f"{file.path}:{file.mark}" for file in files)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def file_frames(files: Iterable[SourceFile], schema: Mapping[str, str], *, owner: str) -> Iterator[pl.DataFrame]:
    """Typed frames of all files, one file after the other; raises `InputError` that names file, column and row."""
    for file in files:
        told = f"{owner}: {file.path}"
        reader: Callable[[SourceFile, Mapping[str, str], str], Iterator[pl.DataFrame]]
        reader = {".csv": _csv, ".jsonl": _json, ".ndjson": _json}.get(file.kind, _columnar)
        try:
            yield from reader(file, schema, told)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"cannot read {file.path}: {str(error).splitlines()[0]}") from None


def _columnar(file: SourceFile, schema: Mapping[str, str], owner: str) -> Iterator[pl.DataFrame]:
    for frame in _chosen(_scan(file.path, file.kind), schema, owner).collect_batches(
        chunk_size=READ_ROWS, maintain_order=True
    ):
        yield conform(frame, schema, owner=owner)


def _json(file: SourceFile, schema: Mapping[str, str], owner: str) -> Iterator[pl.DataFrame]:
    try:
        yield from _json_frames(file, schema, owner)
    except pl.exceptions.PolarsError:
        _name_bad_line(file, schema, owner)
        raise


def _json_frames(file: SourceFile, schema: Mapping[str, str], owner: str) -> Iterator[pl.DataFrame]:
    scan = _scan(file.path, file.kind)
    known = scan.collect_schema()
    # A time may be text or a number, lists are as they are; everything else is read as what it must be, so that a
    # later line cannot differ.
    types = {name: polars_type(dtype) for name, dtype in schema.items() if dtype in _JSON}
    types |= {name: known[name] for name in known if name not in types}
    for name, dtype in schema.items():
        if dtype == "string" and name in known and known[name] not in (pl.String, pl.Null):
            raise InputError(f"{owner}: column {name!r} must be string, got {known[name]}")
    _chosen(scan, schema, owner)
    scan = pl.scan_ndjson(file.path, schema={name: types[name] for name in known}).select(list(schema))
    for frame in scan.collect_batches(chunk_size=READ_ROWS, maintain_order=True):
        yield conform(frame, schema, owner=owner)


def _name_bad_line(file: SourceFile, schema: Mapping[str, str], owner: str) -> None:
    """Raises `InputError` about the first line with a value of another type; the reader itself names no place."""
    if "://" in file.path:
        return
    with Path(file.path).open(encoding="utf-8", errors="replace") as lines:
        for row, line in enumerate(lines, 1):
            try:
                found = json.loads(line)
            except ValueError:
                raise InputError(f"{owner}, row {row}: no JSON object: {line.strip()[:80]!r}") from None
            for name, dtype in schema.items():
                value = found.get(name) if isinstance(found, dict) else None
                if value is None or dtype not in _JSON:
                    continue
                # To Python, True is a number too.
                if not isinstance(value, _JSON[dtype]) or (isinstance(value, bool) and dtype != "bool"):
                    raise InputError(f"{owner}, row {row}: column {name!r} holds {value!r}, not {_MEANT[dtype]}")
                if isinstance(value, int) and dtype in _BITS and not -(2 ** _BITS[dtype]) <= value < 2 ** _BITS[dtype]:
                    raise InputError(f"{owner}, row {row}: column {name!r} holds {value!r}, beyond {dtype}")


def _csv(file: SourceFile, schema: Mapping[str, str], owner: str) -> Iterator[pl.DataFrame]:
    # Everything is read as text: a guess at types would take "007" for 7, and could not name the row of a bad value.
    first_row = 2
    for name, dtype in schema.items():
        if dtype not in _MEANT:
            raise InputError(f"{owner}: column {name!r} is {dtype}, and CSV holds no lists; use Parquet or JSON lines")
    scan = _chosen(_scan(file.path, file.kind), schema, owner)
    for frame in scan.collect_batches(chunk_size=READ_ROWS, maintain_order=True):
        yield frame.select(_of_text(frame[name], dtype, owner, first_row) for name, dtype in schema.items())
        first_row += frame.height


def _of_text(text: pl.Series, dtype: str, owner: str, first_row: int) -> pl.Series:
    if dtype == "string":
        return text
    if dtype == "bool":
        made = text.str.to_lowercase().replace_strict(
            {"true": True, "false": False, "1": True, "0": False}, default=None, return_dtype=pl.Boolean
        )
    elif dtype == "timestamp":
        made = text.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        if made.null_count() > text.null_count():
            whole = text.cast(pl.Int64, strict=False)
            made = made if whole.null_count() > made.null_count() else whole.cast(TIMESTAMP)
    else:
        made = text.str.strip_chars().cast(polars_type(dtype), strict=False)
    if made.null_count() > text.null_count():
        row = int((made.is_null() & text.is_not_null()).arg_true()[0])
        raise InputError(
            f"{owner}, row {first_row + row}: column {text.name!r} holds {text[row]!r}, not {_MEANT.get(dtype, dtype)}"
        )
    return made.alias(text.name)


def _chosen(scan: pl.LazyFrame, schema: Mapping[str, str], owner: str) -> pl.LazyFrame:
    known = scan.collect_schema().names()
    for name in schema:
        if name not in known:
            raise InputError(f"{owner}: column {name!r} is missing{did_you_mean(name, known)}")
    return scan.select(list(schema))


def _kind(path: str) -> str:
    suffix = Path(path).suffix
    if suffix in FILE_KINDS:
        return suffix
    if "://" in path and not suffix:
        return "delta"
    raise InputError(
        f"cannot tell the format of {path}: name a file that ends in {', '.join(FILE_KINDS)}, a folder or a Delta table"
    )


def _mark(file: Path) -> str:
    known = file.stat()
    return f"{known.st_size}:{known.st_mtime_ns}"


def _delta_mark(root: Path) -> str:
    commits = sorted(file.name for file in (root / "_delta_log").iterdir() if file.suffix == ".json")
    return commits[-1] if commits else ""


def _remote_mark(path: str) -> str:
    """Without a file system at hand, what the content says of itself: its columns and its number of rows."""
    try:
        scan = _scan(path, _kind(path))
        return f"{scan.collect_schema()}:{scan.select(pl.len()).collect().item()}"
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from None


def _scan(path: str, kind: str) -> pl.LazyFrame:
    if kind == "delta":
        return pl.scan_delta(path)
    if kind == ".csv":
        return pl.scan_csv(path, infer_schema=False)
    return pl.scan_parquet(path) if kind == ".parquet" else pl.scan_ndjson(path)
