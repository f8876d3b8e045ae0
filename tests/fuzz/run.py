"""`python -m tests.fuzz.run`: look for bytes that break `target.check`, guided by the code that they reach.

It starts from the committed corpus. What it finds on the way is thrown away unless `--keep` names a folder for it. An
input that breaks something stays in the current folder as `crash-…`: mend the fault, and move the file into the
corpus, which the tests play again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096
TYPES = (
    "ping stop_reason error_message usage_statistics assistant_message reasoning_message tool_call_message "
    "user_message approval_request_message tool_return_message hidden_reasoning_message summary_message event_message"
)
FIELDS = "message_type seq_id run_id id otid content tool_call tool_calls tool_call_id arguments name detail"
WORDS = [
    *(rf"\"{word}\"" for word in (TYPES + " " + FIELDS).split()),
    *("data: ", r"event: error\x0a", r"\x0a\x0a", r"\x0d", r"\xef\xbb\xbf", "[DONE]", "null", "NaN", "1e999"),
]
"""What the fuzzer builds inputs of, in libFuzzer's spelling."""


def main() -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Fuzz the reading of streams.")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--keep", type=Path, help="a folder for what is found")
    options = parser.parse_args()
    try:
        atheris: Any = import_module("atheris")
    except ImportError:
        raise SystemExit("atheris is not installed: pip install '.[fuzz]' (CPython on Linux)") from None
    logging.disable()
    with atheris.instrument_imports(include=["letta_adapters"]):
        check = import_module("tests.fuzz.target").check
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        words, found = Path(folder, "words"), options.keep or Path(folder, "found")
        words.write_text("".join(f'"{word}"\n' for word in WORDS), encoding="utf-8")
        found.mkdir(exist_ok=True)
        limits = [f"-max_len={LONGEST}", f"-max_total_time={options.seconds}", "-timeout=20", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], str(found), str(CORPUS), *limits, f"-dict={words}"], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
