"""`eagleray features materialize`: from files, then from the version before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from eagleray.cli import app
from eagleray.runtime import valkey_server

DECLARED = """
from eagleray import Aggregate, Entity, FeatureSet

cards = FeatureSet("cards", [Entity("card")], "ts", {"amount": "float64"}, [Aggregate("amount", ["sum"], ["1h"])])
"""


def test_materialize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAGLERAY_HOME", str(tmp_path / "home"))
    declared = tmp_path / "features.py"
    declared.write_text(DECLARED)
    moment = datetime(2026, 3, 2, 12, tzinfo=UTC)
    pl.DataFrame({"card": ["a", "b"], "ts": [moment] * 2, "amount": [1.0, 2.0]}).write_parquet(tmp_path / "e.parquet")
    try:
        assert run(f"{declared}:cards", "--from", str(tmp_path / "e.parquet")) == {
            "name": "cards",
            "version": 1,
            "rows": 2,
        }
        assert run(f"{declared}:cards", "--from", str(tmp_path / "e.parquet"))["rows"] == 0
        declared.write_text(DECLARED.replace('"1h"', '"1h", "1d"'))
        assert run(f"{declared}:cards") == {"name": "cards", "version": 2, "rows": 2}
    finally:
        assert valkey_server.release(tmp_path / "home")


def run(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["features", "materialize", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, object] = json.loads(result.stdout)
    return told
