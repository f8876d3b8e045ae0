"""Runs an example in this process, as a script of its folder."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed_by(name: str, capsys: pytest.CaptureFixture[str], **environment: str) -> str:
    """What an example prints, with these variables and no other LETTA_ ones."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("LETTA_")]:
            patch.delenv(variable)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        patch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out
