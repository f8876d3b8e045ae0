"""`doctor`: find out what is wrong, and say what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from letta_adapters.cli.checks import Finding, Status, examine
from letta_adapters.cli.options import AsJson, BaseUrl
from letta_adapters.cli.reporting import ExitCode, Output, reporting

__all__ = ["doctor"]

_STYLES: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}


def doctor(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", envvar="LETTA_AGENT_ID", help="An agent to look at, too.")
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Look at the server, the key and the clock, at an agent and at calls that wait; say what to do.

    Nothing is sent to an agent, and nothing is changed.
    """
    with reporting(as_json=as_json) as output:
        findings: list[Finding] = []
        for finding in examine(base_url, agent):
            findings.append(finding)
            if not as_json:
                _show(output, finding)
        code = next((finding.code for finding in findings if finding.status == "fail"), ExitCode.DONE)
        if as_json:
            checks = [
                {"name": one.name, "status": one.status, "found": one.found, "remedy": one.remedy} for one in findings
            ]
            output.document({"ok": code is ExitCode.DONE, "checks": checks})
    raise typer.Exit(code)


def _show(output: Output, finding: Finding) -> None:
    output.say(f"{finding.status:<8}", _STYLES[finding.status], end="")
    output.say(f"{finding.name:<11} {finding.found} {finding.remedy}".rstrip())
