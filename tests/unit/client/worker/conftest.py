import pytest

from tests.support.job_source import MemorySource


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()
