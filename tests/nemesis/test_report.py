"""The nemesis's report: conceded violations, and the table of the page."""

from pathlib import Path

from tests.nemesis.faults import FAULTS
from tests.nemesis.oracle import Rules, find_violations
from tests.nemesis.report import Report
from tests.nemesis.table import BEGIN, END, broken, write
from tests.nemesis.test_oracle import ran


def reports() -> list[Report]:
    return [Report(fault.name, topology, seed=1) for fault in FAULTS.values() for topology in fault.topologies]


def test_a_conceded_violation_is_listed_but_not_counted() -> None:
    """It is conceded only in its own row."""
    runs = [ran(0, 1, 5), ran(1, 4, 6, token=1)]
    frozen = Report("node frozen", "three", 1, violations=find_violations(runs, [], Rules()))
    assert [line.split(":")[0] for line in broken(frozen)] == ["token"]
    assert len(broken(Report("calm", "three", 1, violations=frozen.violations))) == 2
    assert Report.from_json(frozen.to_json()) == frozen


def test_the_table_replaces_only_the_old_table(tmp_path: Path) -> None:
    """A run of all rows writes the whole table."""
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}last year's\n{END}after\n")
    write(reports(), path)
    text = path.read_text()
    assert text.startswith(f"before\n{BEGIN}| fault | ")
    assert text.endswith(f"\n{END}after\n")
    assert "last year's" not in text
    assert all(f"\n| {fault} | " in text for fault in FAULTS)


def test_rows_that_were_not_run_again_stay(tmp_path: Path) -> None:
    """A single row can be run without all the others."""
    path = tmp_path / "README.md"
    path.write_text(f"{BEGIN}{END}")
    write(reports(), path)
    before = path.read_text().splitlines()
    write([Report("calm", "three", 2, hits=17), Report("node frozen", "three", 2, stale=5)], path)
    after = path.read_text().splitlines()
    changed = [
        new.split(" | ")[0].strip("|- ").split(":")[0] for old, new in zip(before, after, strict=True) if old != new
    ]
    assert changed == ["calm", "node frozen", "node frozen"]
