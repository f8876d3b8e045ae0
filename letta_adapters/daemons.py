"""Threads that the process does not wait for when it ends."""

from __future__ import annotations

import sys
from threading import Thread

__all__ = ["start_daemon"]


def start_daemon(thread: Thread) -> bool:
    """Start a thread that does not keep the process alive.

    Returns:
        Whether it was started. At the very end of a process, when its last objects are let go of, `start` would wait
        for ever; and Python 3.12.0 and 3.12.1 start none any more as soon as a process ends (measured).
    """
    if sys.is_finalizing():
        return False
    thread.daemon = True
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
