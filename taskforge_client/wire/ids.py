"""Identifiers: 63-bit time-ordered numbers, and the prefixed strings that show them.

A job's number carries the time it was minted, so that storage can partition by it and nothing else
needs a date:

    bits 62..22   milliseconds since 2025-01-01T00:00:00Z
    bits 21..10   a block number handed out by the database, modulo 4096
    bits  9..0    the position inside the block

The database hands out blocks; the holder of a block mints up to 1,024 numbers from it without
asking again.
"""

from typing import Final, NewType

from taskforge_client.wire.problems import MalformedValue

JobNumber = NewType("JobNumber", int)
JobId = NewType("JobId", str)
ScheduleId = NewType("ScheduleId", str)
WorkerId = NewType("WorkerId", str)
ProjectNumber = NewType("ProjectNumber", int)
FenceToken = NewType("FenceToken", int)

EPOCH_MS: Final = 1_735_689_600_000
TIME_SHIFT: Final = 22
BLOCK_SHIFT: Final = 10
BLOCK_SIZE: Final = 1 << BLOCK_SHIFT
BLOCK_COUNT: Final = 1 << (TIME_SHIFT - BLOCK_SHIFT)

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_LENGTH: Final = 13
_LARGEST: Final = (1 << 63) - 1

JOB_PREFIX: Final = "job_"
SCHEDULE_PREFIX: Final = "sch_"
WORKER_PREFIX: Final = "wrk_"


def encode_number(prefix: str, number: int) -> str:
    """Return `prefix` and the 13 characters of `number`.

    The strings of one prefix sort like their numbers.

    The alphabet is Douglas Crockford's base 32 in lower case (no i, l, o, u).
    """
    if not 0 <= number <= _LARGEST:
        raise MalformedValue(
            "id", f"{number} is outside 0 to 2**63-1", "a number minted by TaskForge"
        )
    pairs = _PAIRS
    return (
        f"{prefix}{_ALPHABET[number >> 60]}{pairs[number >> 50 & 1023]}{pairs[number >> 40 & 1023]}"
        f"{pairs[number >> 30 & 1023]}{pairs[number >> 20 & 1023]}{pairs[number >> 10 & 1023]}"
        f"{pairs[number & 1023]}"
    )


def decode_number(prefix: str, text: str) -> int:
    """Return the number inside `text`, the inverse of `encode_number`.

    Raises:
        MalformedValue: `text` lacks the prefix, has another length or a letter outside the
            alphabet.
    """
    body = text.removeprefix(prefix)
    if not text.startswith(prefix) or len(body) != _LENGTH:
        raise MalformedValue(
            "id", f"{text!r} is not an id", f"{prefix} and {_LENGTH} letters or digits"
        )
    number = 0
    for letter in body.lower():
        digit = _DIGITS.get(letter)
        if digit is None:
            raise MalformedValue(
                "id", f"{text!r} holds {letter!r}", "letters of the base-32 alphabet"
            )
        number = number << 5 | digit
    if number > _LARGEST:
        raise MalformedValue(
            "id", f"{text!r} is larger than any id", f"an id that starts {prefix}0 to {prefix}7"
        )
    return number


def job_id(number: int) -> JobId:
    """Return the public form of a job's number, such as ``job_01kq2h8m0g000``."""
    return JobId(encode_number(JOB_PREFIX, number))


def job_number(identifier: str) -> JobNumber:
    """Return the number of a public job id; raises `MalformedValue` for anything else."""
    return JobNumber(decode_number(JOB_PREFIX, identifier))


def mint_base(unix_ms: int, block: int) -> int:
    """Return the first number of a block.

    `unix_ms` since 1970, `block` any non-negative integer.
    """
    return (unix_ms - EPOCH_MS) << TIME_SHIFT | (block % BLOCK_COUNT) << BLOCK_SHIFT


def minted_at_ms(number: int) -> int:
    """Return when a number was minted, in milliseconds since 1970."""
    return (number >> TIME_SHIFT) + EPOCH_MS
