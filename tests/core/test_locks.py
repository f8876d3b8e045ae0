"""One turn in flight per conversation, among threads and tasks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable

import pytest

from letta_adapters.locks import ConversationLock, Hold, InFlight, conversation_lock

PATIENCE = 30.0


def _held() -> ConversationLock:
    lock = ConversationLock()
    assert lock.acquire(0)
    return lock


def test_a_free_lock_is_taken_without_waiting() -> None:
    lock = ConversationLock()
    assert lock.acquire(0)
    assert not lock.acquire(0)
    lock.release()
    assert lock.acquire(0)


async def test_a_free_lock_is_taken_by_a_task_without_waiting() -> None:
    lock = ConversationLock()
    assert await lock.acquire_async(0)
    assert not await lock.acquire_async(0)
    lock.release()
    assert await lock.acquire_async(0)


def test_whoever_gave_up_waiting_is_passed_over() -> None:
    lock = _held()
    assert not lock.acquire(0)
    lock.release()
    assert lock.acquire(0)


async def test_tasks_get_the_lock_in_the_order_in_which_they_asked() -> None:
    lock, order = _held(), list[int]()

    async def wait(number: int) -> None:
        assert await lock.acquire_async(PATIENCE)
        order.append(number)
        lock.release()

    tasks = [asyncio.create_task(wait(number)) for number in range(8)]
    await asyncio.sleep(0)
    lock.release()
    await asyncio.gather(*tasks)
    assert order == list(range(8))


async def test_nobody_overtakes_a_task_that_waits() -> None:
    lock = _held()
    waiting = asyncio.create_task(lock.acquire_async(PATIENCE))
    await asyncio.sleep(0)
    lock.release()
    assert not lock.acquire(0)
    assert await waiting


def test_threads_and_tasks_exclude_each_other() -> None:
    lock, inside, worst = ConversationLock(), list[int](), list[int]()

    def enter() -> None:
        inside.append(1)
        worst.append(len(inside))
        inside.pop()

    def thread() -> None:
        for _ in range(50):
            assert lock.acquire(PATIENCE)
            enter()
            lock.release()

    async def task() -> None:
        for _ in range(50):
            assert await lock.acquire_async(PATIENCE)
            enter()
            await asyncio.sleep(0)
            lock.release()

    async def tasks() -> None:
        await asyncio.gather(*(task() for _ in range(4)))

    _in_threads([thread, thread, thread, lambda: asyncio.run(tasks()), lambda: asyncio.run(tasks())])
    assert len(worst) == 3 * 50 + 8 * 50
    assert set(worst) == {1}
    assert lock.acquire(0)


def _in_threads(work: list[Callable[[], None]]) -> None:
    failures: list[BaseException] = []

    def guarded(run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(run,)) for run in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("ticks", range(6))
async def test_a_task_that_is_cancelled_while_the_lock_is_handed_over_neither_keeps_it_nor_goes_on(ticks: int) -> None:
    lock, went_on = _held(), list[bool]()

    async def turn() -> None:
        went_on.append(await lock.acquire_async(PATIENCE))
        await asyncio.sleep(0)
        lock.release()

    task = asyncio.create_task(turn())
    await asyncio.sleep(0)
    lock.release()
    for _ in range(ticks):
        await asyncio.sleep(0)
    if not task.done():
        cancelled_in_time = not went_on
        task.cancel()
        await asyncio.wait([task])
        if cancelled_in_time:
            assert task.cancelled()
            assert lock.acquire(0)


async def test_a_cancelled_task_does_not_lose_the_lock_for_the_next() -> None:
    lock = _held()
    first, second = (asyncio.create_task(lock.acquire_async(PATIENCE)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    lock.release()
    assert await second
    assert first.cancelled()


def test_a_task_whose_loop_is_gone_does_not_keep_the_lock() -> None:
    lock = _held()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(lock.acquire_async(PATIENCE))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    lock.release()
    assert lock.acquire(0)
    assert waiting  # it is kept alive until here


def test_one_side_of_a_lock_is_taken_once_and_given_back_once() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    assert one.acquire(0)
    assert not other.acquire(0)
    other.release()
    assert not other.acquire(0)
    one.release()
    assert other.acquire(0)
    one.release()
    assert not one.acquire(0)


def test_a_conversation_has_one_lock_as_long_as_somebody_holds_it() -> None:
    lock = conversation_lock("http://x", "conv-1")
    assert conversation_lock("http://x", "conv-1") is lock
    assert conversation_lock("http://x", "conv-2") is not lock
    assert conversation_lock("http://y", "conv-1") is not lock


def test_locks_that_nobody_holds_are_forgotten() -> None:
    before = id(conversation_lock("http://x", "conv-forgotten"))
    spare = [ConversationLock() for _ in range(10)]
    gc.collect()
    assert spare
    assert conversation_lock("http://x", "conv-forgotten").acquire(0)
    assert before


def test_all_threads_get_the_same_lock() -> None:
    start, locks = threading.Barrier(8), list[ConversationLock]()

    def ask() -> None:
        start.wait(PATIENCE)
        locks.append(conversation_lock("http://x", "conv-shared"))

    _in_threads([ask] * 8)
    assert len(set(locks)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_process_does_not_inherit_a_held_lock() -> None:
    lock = conversation_lock("http://x", "conv-fork")
    assert lock.acquire(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if conversation_lock("http://x", "conv-fork").acquire(0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert conversation_lock("http://x", "conv-fork") is lock
    lock.release()


# A turn that was accepted: the lock is free, and the turn goes on.


def run(run_id: str | None) -> InFlight:
    return InFlight(run_id=run_id, otids=("otid-1",))


def test_a_turn_that_was_accepted_gives_the_lock_back_and_is_known_to_the_next_one() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.accepted(run("run-1"))
    assert other.acquire(0)
    assert other.in_flight == run("run-1")


def test_while_no_turn_was_accepted_none_is_in_flight() -> None:
    lock = ConversationLock()
    one = Hold(lock)
    assert one.acquire(0)
    assert one.in_flight is None


def test_a_turn_that_is_over_is_not_in_flight_any_more() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.accepted(run("run-1"))
    one.release()
    assert other.in_flight is None


def test_the_end_of_an_earlier_turn_does_not_hide_a_later_one() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.accepted(run("run-1"))
    assert other.acquire(0)
    other.accepted(run("run-2"))
    one.release()
    assert one.in_flight == run("run-2")


def test_a_turn_that_was_accepted_without_a_run_leaves_nothing_behind() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.accepted(run(None))
    one.release()
    assert other.acquire(0)
    assert other.in_flight is None


def test_a_turn_gives_back_only_the_lock_that_it_took_however_it_ends() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.accepted(run("run-1"))
    assert other.acquire(0)
    one.release()
    assert not one.acquire(0)


def test_a_turn_that_its_caller_left_goes_on_and_is_known_though_nobody_refers_to_its_lock() -> None:
    key = ("http://x", "conv-left")
    hold = Hold(conversation_lock(*key))
    assert hold.acquire(0)
    hold.accepted(run("run-1"))
    hold.release(goes_on=run("run-1"))
    del hold
    gc.collect()
    assert Hold(conversation_lock(*key)).in_flight == run("run-1")


def test_a_turn_that_was_left_before_its_run_was_known_is_known_to_be_there() -> None:
    lock = ConversationLock()
    one, other = Hold(lock), Hold(lock)
    assert one.acquire(0)
    one.release(goes_on=run(None))
    assert other.acquire(0)
    assert other.in_flight == run(None)


def test_the_next_turn_takes_the_place_of_one_that_was_left() -> None:
    lock = ConversationLock()
    left, following, last = Hold(lock), Hold(lock), Hold(lock)
    assert left.acquire(0)
    left.accepted(run("run-1"))
    left.release(goes_on=run("run-1"))
    assert following.acquire(0)
    following.accepted(run("run-2"))
    following.release()
    assert last.in_flight is None


def test_who_takes_a_turn_over_has_its_lock() -> None:
    lock = ConversationLock()
    one = Hold(lock)
    assert one.acquire(0)
    successor = one.hand_over()
    one.release()
    assert not lock.acquire(0)
    successor.release()
    assert lock.acquire(0)


def test_threads_that_were_accepted_one_after_the_other_know_of_each_other() -> None:
    lock, known = ConversationLock(), list[InFlight | None]()

    def turn(run_id: str) -> Callable[[], None]:
        def send() -> None:
            hold = Hold(lock)
            assert hold.acquire(PATIENCE)
            known.append(hold.in_flight)
            hold.accepted(run(run_id))

        return send

    runs = [f"run-{number}" for number in range(8)]
    _in_threads([turn(run_id) for run_id in runs])
    assert known[0] is None
    assert len({*known, lock.in_flight}) == len(runs) + 1


def test_whoever_waits_in_a_thread_can_be_told_to_give_up() -> None:
    lock, began = _held(), threading.Event()
    hold, taken = Hold(lock), list[bool]()

    def wait() -> None:
        began.set()
        taken.append(hold.acquire(PATIENCE))

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait()
    hold.give_up()
    thread.join(PATIENCE)
    assert taken == [False]
    lock.release()
    assert lock.acquire(0)


async def test_whoever_waits_in_a_task_can_be_told_to_give_up() -> None:
    lock = _held()
    hold = Hold(lock)
    task = asyncio.create_task(hold.acquire_async(PATIENCE))
    await asyncio.sleep(0)
    hold.give_up()
    assert not await task
    lock.release()
    assert lock.acquire(0)


def test_whoever_gave_up_what_is_taken_keeps_it() -> None:
    lock = ConversationLock()
    hold = Hold(lock)
    assert hold.acquire(0)
    hold.give_up()
    assert hold.held
    assert not lock.acquire(0)
