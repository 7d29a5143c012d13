from __future__ import annotations

import pytest

from taskforge_client.wire.ids import (
    BLOCK_SIZE,
    EPOCH_MS,
    decode_number,
    encode_number,
    job_id,
    job_number,
    mint_base,
    minted_at_ms,
)
from taskforge_client.wire.problems import MalformedValue

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("number", [0, 1, 31, 32, 2**62, 2**63 - 1])
def test_a_number_survives_its_text(number: int) -> None:
    text = job_id(number)
    assert text.startswith("job_")
    assert len(text) == 17
    assert job_number(text) == number
    assert job_number(text.replace("JOB", "job").upper().replace("JOB_", "job_")) == number


def test_texts_sort_as_numbers_do() -> None:
    numbers = [0, 5, 31, 32, 1023, 1024, 2**40, 2**62]
    assert sorted(job_id(number) for number in numbers) == [job_id(number) for number in numbers]


@pytest.mark.parametrize(
    "text",
    ["", "job_", "42", "job_1", "sch_0000000000001", "job_000000000000u", "job_z" + "z" * 12],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedValue, match="id"):
        job_number(text)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_numbers_outside_the_range_have_no_text(number: int) -> None:
    with pytest.raises(MalformedValue):
        encode_number("job_", number)


def test_a_number_tells_when_it_was_minted() -> None:
    now_ms = EPOCH_MS + 123_456_789
    base = mint_base(now_ms, block=4097)
    assert minted_at_ms(base) == now_ms
    assert minted_at_ms(base + BLOCK_SIZE - 1) == now_ms
    assert base % BLOCK_SIZE == 0
    assert decode_number("wrk_", encode_number("wrk_", base)) == base
