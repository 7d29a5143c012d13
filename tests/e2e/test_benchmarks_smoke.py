"""Every benchmark runs end to end on a few jobs, loses and doubles none, and writes its JSON.

How fast they are is not looked at: that is for `python -m benchmarks` on a quiet machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import contenders
from tests.support.postgres import DatabaseServer

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120


def run_benchmark(tmp_path: Path, url: str, *words: str) -> list[dict[str, Any]]:
    """Run a benchmark on the test run's server and return the rows of its JSON."""
    path = tmp_path / "result.json"
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words, "--repeats", "1", "--json", str(path)],
        cwd=ROOT,
        env={**os.environ, "TASKFORGE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["benchmark"] == words[0]
    assert content["machine"]["cores"] >= 1
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def assert_sound(rows: Sequence[dict[str, Any]]) -> None:
    assert [row for row in rows if row["lost"] or row["doubled"]] == []


@pytest.fixture
def server_url(database_server: DatabaseServer) -> str:
    return database_server.url


def test_lifecycle(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "lifecycle", "--jobs", "300")
    assert_sound(rows)
    assert [(row["workers"], row["analysed"]) for row in rows] == [
        (1, False),
        (1, True),
        (2, False),
        (2, True),
    ]
    for row in rows:
        assert row["jobs"] == 300
        assert row["jobs_per_second"] > 0
        assert row["jobs_per_core_second"] > 0


def test_enqueue(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "enqueue", "--jobs", "400")
    assert_sound(rows)
    assert [row["way"] for row in rows] == [
        "single",
        "callers_50",
        "bulk",
        "within",
        "within_bulk",
        "sql",
        "sql_bulk",
    ]


def test_latency(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "latency", "--jobs", "10")
    assert_sound(rows)
    assert [row["load"] for row in rows] == ["idle", "half"]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] for row in rows)


def test_scale(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "scale", "--jobs", "500")
    assert_sound(rows)
    assert [(row["ready"], row["finished"]) for row in rows] == [(5, 0), (500, 5_000)]
    assert all(row["ratio"] > 0 for row in rows)


def test_horizon(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "horizon", "--jobs", "500")
    assert_sound(rows)
    assert [row["snapshot"] for row in rows] == ["none", "held"]
    assert all(row["ratio"] > 0 for row in rows)


def test_memory(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "memory", "--jobs", "4000")
    assert_sound(rows)
    assert all(row["server_mib"] > 0 and row["worker_mib"] > 0 for row in rows)
    assert {"server_growth_mib", "worker_growth_mib"} <= rows[-1].keys()


def test_capacity(tmp_path: Path, server_url: str) -> None:
    rows = run_benchmark(tmp_path, server_url, "capacity", "--jobs", "500", "--workers", "1")
    assert_sound([row for row in rows if "lost" in row])
    plans = [row for row in rows if "target_per_second" in row]
    assert [row["target_per_second"] for row in plans] == [100, 1_000, 10_000, 50_000]


def test_import_time(tmp_path: Path, server_url: str) -> None:
    (row,) = run_benchmark(tmp_path, server_url, "import_time")
    assert row["distributions"] > 1


@pytest.mark.parametrize("peer", [contender.name.split()[0] for contender in contenders()[1:]])
def test_peers(tmp_path: Path, server_url: str, peer: str) -> None:
    (contender,) = [one for one in contenders() if one.name.startswith(peer)]
    missing = contender.missing()
    if missing is not None:
        pytest.skip(missing)
    rows = run_benchmark(tmp_path, server_url, "peers", "--jobs", "200", "--only", peer)
    assert_sound(rows)
    assert {row["system"].split()[0] for row in rows} == {"taskforge", peer}
    assert {row["measurement"] for row in rows} >= {"lifecycle", "latency", "enqueue in bulk"}


def test_the_list_names_every_benchmark() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lifecycle" in ended.stdout
    assert "peers" in ended.stdout
