"""CONTRIBUTING.md, the changelog, the release and the issue forms are true of the repository."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

import cronlock
from tests.support.commands import ROOT
from tests.support.doc_pages import FENCE
from tests.unit.test_imports import LAYERS, PROJECT

PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SECTION = re.compile(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", re.MULTILINE)
RELEASES = [(version, date.fromisoformat(day)) for version, day in SECTION.findall(CHANGELOG)]  # newest first
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # of Keep a Changelog
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
NEEDS = {"markdown": {"value"}, "input": {"label"}, "textarea": {"label"}}  # by GitHub's schema of issue forms
ALLOWED = {"markdown": {"value"}, "input": {"label", "description", "placeholder", "value"}}
ALLOWED["textarea"] = ALLOWED["input"] | {"render"}


# CONTRIBUTING.md


def test_the_listing_has_every_package_in_the_order_of_imports() -> None:
    """A package imports only those below it, as test_imports.py holds."""
    listed = [name.removesuffix(".py").rstrip("/") for name in re.findall(r"^\| `([\w.]+/?)` \|", PAGE, re.MULTILINE)]
    level = {name: level for level, names in enumerate(LAYERS) for name in names}
    assert sorted(listed, key=level.__getitem__) == listed
    made = {
        path.stem
        for path in (ROOT / "cronlock").glob("[!_]*")
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert set(listed) == made | {"__main__"}


def test_the_files_that_the_page_names_exist() -> None:
    """They stand below the repository, or below cronlock/."""
    named = set(re.findall(r"`([\w./]+\.(?:py|lua|md|1|5|toml))`", PAGE))
    assert len(named) > 10
    assert {name for name in named if not ((ROOT / name).exists() or (ROOT / "cronlock" / name).exists())} == set()


def test_the_example_is_a_test_that_runs() -> None:
    """It stands word for word in the file that the page names."""
    [example] = [block for kind, block in FENCE.findall(PAGE) if kind == "python"]
    [file] = re.findall(r"An example from\s+`(tests/[\w/]+\.py)`", PAGE)
    assert f"\n\n{example}\n" in (ROOT / file).read_text()


def test_the_short_check_does_what_the_whole_one_does_first() -> None:
    """Both lint the same files with the same tools."""
    short, whole = ((ROOT / ".ci" / name).read_text() for name in ("check", "run"))
    lint = re.findall(r"^\.venv/bin/(?:ruff|mypy).*$", short, re.MULTILINE)
    assert len(lint) == 3
    assert all(line in whole for line in lint)


# The changelog and the release


def test_the_version_is_the_newest_one_of_the_changelog() -> None:
    assert RELEASES[0][0] == cronlock.__version__


def test_the_changelog_has_its_releases_in_order_below_what_is_unreleased() -> None:
    """The newest first, none from the future, each with a link at the end of the page."""
    headings = re.findall(r"^## \[(.*?)\]", CHANGELOG, re.MULTILINE)
    assert headings == ["Unreleased", *(version for version, _ in RELEASES)]
    assert [day for _, day in RELEASES] == sorted((day for _, day in RELEASES), reverse=True)
    numbers = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    assert numbers == sorted(set(numbers), reverse=True)
    links = dict(re.findall(r"^\[(.*?)\]: (.*)$", CHANGELOG, re.MULTILINE))
    assert list(links) == headings
    assert links["Unreleased"].endswith(f"v{RELEASES[0][0]}...HEAD")


def test_the_changelog_groups_changes_by_kind() -> None:
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)) <= KINDS


@pytest.mark.parametrize("name", ["cronlock.1", "cronlock.toml.5"])
def test_a_man_page_is_as_new_as_the_release(name: str) -> None:
    first = (ROOT / "man" / name).read_text().partition("\n")[0]
    [day] = re.findall(r"\d{4}-\d\d-\d\d", first)
    assert date.fromisoformat(day) >= RELEASES[0][1]


def test_the_projects_links_lead_to_pages_that_exist() -> None:
    """Those to files name files of the repository."""
    home = PROJECT["urls"]["Homepage"]
    for url in PROJECT["urls"].values():
        assert url.startswith(home)
        _, blob, path = url.partition("/blob/main/")
        assert not blob or (ROOT / path).exists(), url


# Issue forms


def form(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_one_that_github_shows(path: Path) -> None:
    """It has the keys, types and identifiers of GitHub's schema; otherwise GitHub leaves it out without a word."""
    loaded = form(path)
    assert {"name", "description", "body"} <= set(loaded) <= {"name", "description", "body", "labels", "title"}
    assert 3 <= len(loaded["name"]) <= 200
    assert 3 <= len(loaded["description"]) <= 200
    fields = [element for element in loaded["body"] if element["type"] != "markdown"]
    for element in loaded["body"]:
        kind, attributes = element["type"], element["attributes"]
        assert NEEDS[kind] <= set(attributes) <= ALLOWED[kind], attributes
        assert all(isinstance(value, str) and value for value in attributes.values()), attributes
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert set(element.get("validations", {})) <= {"required"}
        assert isinstance(element.get("validations", {}).get("required", False), bool)
    ids = [element["id"] for element in fields]
    assert all(re.fullmatch(r"[\w-]+", name) for name in ids)
    assert len(set(ids)) == len(ids)
    labels = [element["attributes"]["label"] for element in fields]
    assert len(set(labels)) == len(labels)
    assert any(element.get("validations", {}).get("required") for element in fields)


def test_a_bug_report_has_what_shows_the_cause() -> None:
    """The version, the plan, the findings, the line and what happened have to be given."""
    body = form(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")["body"]
    required = {element["id"]: element["attributes"]["label"] for element in body if element.get("validations")}
    assert set(required) == {"happened", "line", "version", "dry-run", "check"}
    assert required["version"] == "cronlock --version"
    assert required["dry-run"].startswith("cronlock run --dry-run")
    assert required["check"] == "cronlock check --format json"


def test_the_list_of_forms_links_to_pages_that_exist() -> None:
    loaded = form(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")
    assert set(loaded) == {"blank_issues_enabled", "contact_links"}
    for link in loaded["contact_links"]:
        assert set(link) == {"name", "url", "about"}
        _, blob, path = link["url"].partition("/blob/main/")
        assert not blob or (ROOT / path).exists(), link["url"]
