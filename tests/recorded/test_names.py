"""What a recording calls ids and times: the same in every recording, and true to what follows from them."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest

from tests.contract.wire import id_before, otid_of
from tests.recorded.names import Names

STEP = 0x9F3C52D1_7A64_4E0B_8F21_5C6D7E8F9A80
OTHER = "0f5e1d3c-2b4a-4968-8776-5a4b3c2d1e0f"


def named(text: str) -> str:
    return Names([text]).in_text(text)


def words(text: str) -> list[str]:
    return named(text).split()


def test_an_id_has_one_name_and_each_id_another() -> None:
    one, again, other = words(f"conv-{OTHER} {OTHER} {uuid4()}")
    assert one == f"conv-{again}"
    assert other != again


def test_two_recordings_call_the_same_ids_the_same() -> None:
    def recorded() -> str:
        run, call, hexes = uuid4(), uuid4().hex[:24], uuid4().hex
        return f"run-{run} call_{call} agent-{hexes} run-{run} agent-{hexes} call_{call}"

    assert named(recorded()) == named(recorded())


@pytest.mark.parametrize("last_bits", [0x00, 0x01, 0x33, 0x7F])
def test_otids_and_the_id_before_follow_from_the_name_of_a_message(last_bits: int) -> None:
    step = f"message-{UUID(int=STEP | last_bits)}"
    message, first, second, before = words(f"{step} {otid_of(step, 0)} {otid_of(step, 1)} {id_before(step)}")
    assert (otid_of(message, 0), otid_of(message, 1), id_before(message)) == (first, second, before)


def test_the_last_bits_of_a_message_are_the_same_in_every_recording() -> None:
    assert len({named(f"message-{UUID(int=STEP | bits)} {UUID(int=STEP | 1)}") for bits in range(2, 128)}) == 1


def test_an_id_that_is_nobodys_stays() -> None:
    assert named("run-00000000-0000-4000-8000-000000000000") == "run-00000000-0000-4000-8000-000000000000"


def test_times_keep_their_order_and_their_spelling() -> None:
    later, earlier, again = words(
        "2026-11-21T10:35:10.25Z 2026-11-21T09:35:10.123456+00:00 2026-11-21T10:35:10.250000Z"
    )
    assert (later, earlier) == ("2026-01-01T00:00:00.000002Z", "2026-01-01T00:00:00.000001+00:00")
    assert again == later


def test_whole_seconds_are_one() -> None:
    assert words("2026-11-21T10:35:10Z 2027-01-01T00:00:00Z") == ["2026-01-01T00:00:00Z"] * 2
    assert named("at 2026-11-21 10:35:09 AM UTC+0000.") == "at 2026-01-01 12:00:00 AM UTC+0000."


def test_durations_are_one_and_counts_stay() -> None:
    assert named('{"total_duration_ns": 8123, "ttft_ms":17, "total_tokens": 120}') == (
        '{"total_duration_ns": 1, "ttft_ms":1, "total_tokens": 120}'
    )


def test_the_address_of_the_model_is_left_out() -> None:
    assert re.findall(r"\d", named("http://127.0.0.1:41234/v1")) == ["1"]
