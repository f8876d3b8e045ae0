"""The workflows say what their service can read, and call what this tree has: the same targets as `.ci/run`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.packaging.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs_of(path: Path) -> dict[str, dict[str, Any]]:
    return cast("dict[str, Any]", yaml.safe_load(path.read_text()))["jobs"]


def commands_of(path: Path) -> list[str]:
    """What the steps run, once for each cell of their job's matrix."""
    commands: list[str] = []
    for job in jobs_of(path).values():
        axes: dict[str, list[str]] = job.get("strategy", {}).get("matrix", {})
        for cell in product(*axes.values()):
            for step in job["steps"]:
                command: str = step.get("run", "")
                for axis, value in zip(axes, cell, strict=True):
                    command = command.replace(f"${{{{ matrix.{axis} }}}}", value)
                commands.append(command)
    return [command for command in commands if command]


def targets_of(text: str) -> set[str]:
    return set(re.findall(r"^make (\S+)", text, re.MULTILINE))


TARGETS = {path.name: {target for command in commands_of(path) for target in targets_of(command)} for path in WORKFLOWS}


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make with the Python that runs the tests instead of an environment that it would set up."""
    here = ["READY=", f"BIN={Path(sys.executable).parent}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--silent", *arguments, *here]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_there_is_one_for_tests_one_for_real_servers_and_one_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["live.yml", "release.yml", "test.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_one(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", sorted(set[str]().union(*TARGETS.values())))
def test_what_the_workflows_call_is_there(target: str) -> None:
    done = make("--dry-run", target)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_workflows_run_all_that_has_to_pass() -> None:
    has_to_pass = targets_of((ROOT / ".ci" / "run").read_text())

    assert has_to_pass <= TARGETS["test.yml"] | TARGETS["live.yml"]
    assert has_to_pass - {"live"} <= TARGETS["release.yml"]


def test_the_workflows_run_every_python_and_every_cell_of_the_matrix() -> None:
    variables = dict(re.findall(r"^(PYTHONS|MATRIX) := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = jobs_of(ROOT / ".github" / "workflows" / "test.yml")

    assert jobs["test"]["strategy"]["matrix"]["python"] == variables["PYTHONS"].split()
    cells = [cell for cell in variables["MATRIX"].split() if re.fullmatch("[a-z]+", cell)]
    assert jobs["matrix"]["strategy"]["matrix"]["cell"] == cells


def test_the_build_of_a_server_is_kept_as_long_as_what_it_is_made_from() -> None:
    text = (ROOT / ".github" / "workflows" / "live.yml").read_text()
    (files,) = re.findall(r"hashFiles\((.*?)\)", text)

    assert {(ROOT / name.strip("'")).is_file() for name in files.split(", ")} == {True}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A tree of version 0.2.0, whose changelog has two releases and what comes after them."""
    sections = ["## [Unreleased]\n\n- Later.", "## [0.2.0] - 2030-01-02\n\n- New.", "## [0.1.0] - 2030-01-01\n\n- Old."]
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n" + "\n\n".join(sections) + "\n")
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    project = re.sub(r'^version = ".*"$', 'version = "0.2.0"', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    (tmp_path / "pyproject.toml").write_text(project)
    return tmp_path


def test_a_releases_notes_are_its_section_of_the_changelog(release: Path) -> None:
    done = make("notes", "TAG=v0.2.0", folder=release)

    assert (done.returncode, done.stdout) == (0, "\n- New.\n\n"), done.stderr


def test_a_tag_of_another_version_is_no_release(release: Path) -> None:
    done = make("notes", "TAG=v0.1.0", folder=release)

    assert done.returncode != 0
    assert done.stdout == ""


def test_a_version_that_the_changelog_does_not_have_is_no_release(release: Path) -> None:
    changelog = release / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("[0.2.0]", "[0.3.0]"))

    assert make("notes", "TAG=v0.2.0", folder=release).returncode != 0
