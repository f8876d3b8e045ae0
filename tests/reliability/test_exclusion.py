"""The lock of a conversation keeps threads and tasks apart, whichever of them came first (F18)."""

from __future__ import annotations

import asyncio

from letta_adapters.locks import ConversationLock

PATIENCE = 30.0


async def test_f18_a_task_does_not_get_what_a_thread_holds() -> None:
    lock = ConversationLock()
    assert await asyncio.to_thread(lock.acquire, 0)
    assert not await lock.acquire_async(0)
    waiting = asyncio.create_task(lock.acquire_async(PATIENCE))
    await asyncio.sleep(0)
    assert not waiting.done()
    await asyncio.to_thread(lock.release)
    assert await waiting


async def test_f18_a_thread_does_not_get_what_a_task_holds() -> None:
    lock = ConversationLock()
    assert await lock.acquire_async(0)
    assert not await asyncio.to_thread(lock.acquire, 0)
    lock.release()
    assert await asyncio.to_thread(lock.acquire, 0)
