"""Medians, ratios and the shapes they are shown in."""

from pathlib import Path
from xml.etree import ElementTree

from bench import measure, plot, report, sandbox
from bench.measure import Cell, Sample


def sample(peer: str, number: int, rate: float, errors: int = 0) -> Sample:
    return Sample(
        peer=peer,
        script="hello",
        concurrency=10,
        round=number,
        rate=rate,
        p50_us=100,
        p99_us=1000 * number,
        backend_us=20,
        web_us=30,
        memory_bytes=2**20,
        errors=errors,
        foreign=0.0,
    )


def cell(peer: str, concurrency: int, rate: float) -> Cell:
    return Cell(peer, "hello", concurrency, rate, 100, 2000, 20, 30, 2**20, 0)


def test_a_cell_has_the_medians_and_all_errors_of_its_samples() -> None:
    taken = [sample("a", 1, 10.0, 1), sample("a", 2, 30.0), sample("a", 3, 20.0, 2)]
    (found,) = measure.medians(taken)
    assert (found.rate, found.p99_us, found.errors) == (20.0, 2000, 3)


def test_ratios_are_relative_to_the_named_peer_at_the_same_concurrency() -> None:
    cells = [
        cell("php-fpm", 1, 100.0),
        cell("php-fpm", 10, 200.0),
        cell("luafarm", 10, 300.0),
        cell("luafarm", 1, 80.0),
    ]
    rows = report.rows(cells, "php-fpm")
    ratio = report.COLUMNS.index("ratio")
    assert {row[1:3]: row[ratio] for row in rows} == {
        ("1", "php-fpm"): "1.00",
        ("1", "luafarm"): "0.80",
        ("10", "php-fpm"): "1.00",
        ("10", "luafarm"): "1.50",
    }


def test_without_that_peer_there_is_no_ratio() -> None:
    (row,) = report.rows([cell("luafarm", 1, 80.0)], "php-fpm")
    assert row[report.COLUMNS.index("ratio")] == "-"


def test_the_sandbox_costs_what_it_takes_over_the_trusted_pool() -> None:
    cells = [cell(sandbox.SANDBOXED, 32, 90.0), cell(sandbox.TRUSTED, 32, 100.0)]
    rate, cpu = sandbox.cost(cells)
    assert (round(rate.value, 6), cpu.value) == (0.9, 1.0)


def test_plots_are_written_for_scripts_with_several_concurrencies(
    tmp_path: Path,
) -> None:
    cells = [cell("a <&> b", 1, 50.0), cell("a <&> b", 128, 5000.0)]
    plot.write(tmp_path, cells)
    assert {path.name for path in tmp_path.iterdir()} == {
        "hello-rate.svg",
        "hello-p99.svg",
    }
    root = ElementTree.parse(tmp_path / "hello-rate.svg").getroot()
    assert any("a <&> b" in (node.text or "") for node in root.iter())


def test_results_are_written_under_their_name_and_as_latest(tmp_path: Path) -> None:
    report.write(tmp_path / "results", "now", "# page", {"cells": []})
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {"now.md", "now.json", "latest.md", "latest.json"}
