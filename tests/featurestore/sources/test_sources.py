"""Every kind of source gives the same typed rows, and what does not fit is named by file, column and row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow
import pytest
from deltalake import write_deltalake

from eagleray.featurestore.batches.fingerprint import Fingerprint
from eagleray.featurestore.sources import sources
from eagleray.featurestore.sources.sources import Batchable, open_source
from eagleray.runtime.errors import InputError
from eagleray.runtime.settings import Settings

SCHEMA = {"card": "string", "ts": "timestamp", "amount": "float64", "count": "int64", "ok": "bool"}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXTS = ["007", "é\x00ü", "", 'a,b\n"c"', "x" * 40, None]


def rows(count: int = 12) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "extra": [[1, 2]] * count,
            "card": [TEXTS[row % len(TEXTS)] for row in range(count)],
            "ts": [NOON + timedelta(microseconds=row) for row in range(count)],
            "amount": [None if row % 5 == 0 else row / 7 for row in range(count)],
            "count": [-(2**62) + row for row in range(count)],
            "ok": [row % 2 == 0 for row in range(count)],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )


def read(source: Batchable) -> pl.DataFrame:
    return pl.concat(open_source(source, SCHEMA, owner="cards").chunks())


def text_rows() -> pl.DataFrame:
    """What a text file can hold: no list, and a CSV has no empty text beside null."""
    return rows().drop("extra").with_columns(pl.when(pl.col("card") != "").then("card"))


KINDS: dict[str, Callable[[], Batchable]] = {
    "polars": rows,
    "lazy": lambda: rows().lazy(),
    "pandas": lambda: rows().to_pandas(),
    "arrow table": lambda: rows().to_arrow(),
    "arrow batch": lambda: rows().to_arrow().combine_chunks().to_batches()[0],
    "arrow reader": lambda: pyarrow.RecordBatchReader.from_batches(
        rows().to_arrow().schema, rows().to_arrow().to_batches(max_chunksize=5)
    ),
    "dicts": lambda: rows().to_dicts(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_memory(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 5)
    assert read(KINDS[kind]()).equals(rows().select(list(SCHEMA)))
    assert [chunk.height for chunk in open_source(KINDS[kind](), SCHEMA, owner="cards").chunks()] == [5, 5, 2]


def test_a_pandas_column_of_mixed_types_is_refused() -> None:
    mixed = rows().to_pandas()
    mixed["extra"] = ["text", 1, None] * 4
    assert read(mixed).height == 12, "a column that nobody asked for may be anything"
    mixed["card"] = mixed["extra"]
    with pytest.raises(InputError, match="mixes types"):
        read(mixed)


def test_files_of_every_kind(tmp_path: Path) -> None:
    expected = rows().select(list(SCHEMA))
    rows().write_parquet(tmp_path / "r.parquet")
    rows().with_columns(pl.col("ts").dt.to_string("iso:strict")).write_ndjson(tmp_path / "r.jsonl")
    write_deltalake(tmp_path / "delta", rows().to_arrow())
    for name in ("r.parquet", "r.jsonl", "delta"):
        assert read(tmp_path / name).equals(expected), name
    text_rows().with_columns(pl.col("ts").dt.to_string("iso:strict")).write_csv(tmp_path / "r.csv")
    assert read(tmp_path / "r.csv").equals(text_rows().select(list(SCHEMA)))
    text_rows().with_columns(pl.col("ts").dt.epoch("us")).write_csv(tmp_path / "epoch.csv")
    assert read(str(tmp_path / "epoch.csv")).equals(text_rows().select(list(SCHEMA)))


def test_lists_and_vectors(tmp_path: Path) -> None:
    schema = {"k": "int32", "tags": "list[string]", "at": "vector[2]"}
    frame = pl.DataFrame({"k": [1, 2], "tags": [["a", "b"], []], "at": [[1.0, 2.0], [0.5, -1.0]]})
    frame.write_parquet(tmp_path / "r.parquet")
    frame.write_ndjson(tmp_path / "r.jsonl")
    frame.select("k", tags=pl.lit("a"), at=pl.lit("b")).write_csv(tmp_path / "r.csv")
    read = [pl.concat(open_source(tmp_path / name, schema, owner="o").chunks()) for name in ("r.parquet", "r.jsonl")]
    assert read[0].equals(read[1])
    assert read[0].to_dict(as_series=False) == frame.to_dict(as_series=False)
    fingerprint = Fingerprint()
    fingerprint.add(read[0])
    with pytest.raises(InputError, match=r"column 'tags' is list.string., and CSV holds no lists"):
        list(open_source(tmp_path / "r.csv", schema, owner="o").chunks())


def test_folders_and_globs_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for place, part in enumerate(rows().iter_slices(4)):
        part.write_parquet(tmp_path / f"{place}.parquet")
    expected = rows().select(list(SCHEMA))
    assert read(tmp_path).equals(expected)
    assert read(f"{tmp_path}/[12].parquet").equals(expected[4:])
    assert read(f"file://{tmp_path}/0.parquet").equals(expected[:4])
    rows().drop("extra").write_csv(tmp_path / "r.csv")
    with pytest.raises(InputError, match=r"holds \.csv and \.parquet files; name one kind"):
        read(tmp_path)


# Ray Data warns of its own settings when it is first used.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_ray_dataset(ray_cluster: Settings) -> None:
    import ray.data

    dataset = ray.data.from_arrow(rows(40).to_arrow()).repartition(4)
    assert read(dataset).sort("ts").equals(rows(40).select(list(SCHEMA)))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("amount", "much", r"r.csv, row 4: column 'amount' holds 'much', not a number"),
        ("count", "1.5", r"r.csv, row 4: column 'count' holds '1.5', not a whole number"),
        ("count", "9223372036854775808", r"r.csv, row 4: column 'count' holds '9223372036854775808'"),
        ("ok", "perhaps", r"r.csv, row 4: column 'ok' holds 'perhaps', not true or false"),
        ("ts", "noon", r"r.csv, row 4: column 'ts' holds 'noon', not a time like"),
    ],
)
def test_a_bad_value_in_a_text_file_is_named_with_its_row(
    tmp_path: Path, column: str, value: str, message: str
) -> None:
    text = rows(6).drop("extra").with_columns(pl.col("ts").dt.to_string("iso:strict"), pl.col("card").fill_null("n"))
    text = text.cast(pl.String).with_columns(card=pl.lit("c"))
    bad = pl.when(pl.int_range(pl.len()) == 2).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)
    text.with_columns(bad).write_csv(tmp_path / "r.csv")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "r.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"card": "c", "ts": "2026-01-01T00:00:00Z", "amount": "1", "count": 1, "ok": true}',
            "row 1: column 'amount' holds '1', not a number",
        ),
        ('{"card": "c", "ts": "noon", "amount": 1, "count": 1, "ok": true}', "column 'ts' holds 'noon'"),
        ('{"card": 7, "ts": "2026-01-01T00:00:00Z", "amount": 1, "count": 1, "ok": true}', "'card' must be string"),
        ('{"ts": "2026-01-01T00:00:00Z", "amount": 1, "count": 1, "ok": true}', "column 'card' is missing"),
        ('{"card": ', "row 1: no JSON object"),
    ],
)
def test_a_bad_line_of_json_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "r.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "r.jsonl")


def test_a_bad_column_is_named_with_its_file(tmp_path: Path) -> None:
    rows().with_columns(amount=pl.lit("1")).write_parquet(tmp_path / "b.parquet")
    rows().write_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"cards: .*b\.parquet: column 'amount' must be float64, got String"):
        read(tmp_path)
    rows().rename({"amount": "amuont"}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: column 'amount' is missing; did you mean 'amuont'"):
        read(tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 but nothing else")
    with pytest.raises(InputError, match=r"cannot read .*b\.parquet"):
        read(tmp_path)


def test_what_is_no_source_says_what_is_one(tmp_path: Path) -> None:
    for nothing in (7, [1, 2], {"a": 1}):
        with pytest.raises(InputError, match=r"cannot ingest .*; give a Polars, pandas or Arrow frame"):
            open_source(nothing, SCHEMA, owner="cards")
    with pytest.raises(InputError, match="folder holds no"):
        open_source(tmp_path, SCHEMA, owner="cards")
    with pytest.raises(InputError, match="no such file, folder or match"):
        open_source(tmp_path / "*.csv", SCHEMA, owner="cards")


def test_a_fingerprint_sees_every_value_and_no_cut() -> None:
    def of(*frames: pl.DataFrame) -> str:
        fingerprint = Fingerprint()
        for frame in frames:
            fingerprint.add(frame)
        return fingerprint.hexdigest()

    whole = rows()
    assert of(whole) == of(whole[:5], whole[5:]) == of(pl.concat([whole[:7], whole[7:]], rechunk=False))
    changed = [
        whole.with_columns(amount=pl.col("amount") * 2),
        whole.with_columns(card=pl.col("card").fill_null("")),
        whole.with_columns(extra=pl.col("extra").list.reverse()),
        whole.reverse(),
        whole[:11],
        whole.with_columns(ok=~pl.col("ok")),
    ]
    assert len({of(frame) for frame in [whole, *changed]}) == 7
