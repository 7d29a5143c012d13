"""Hypothesis strategies: wire values, and values that tasks may take."""

from datetime import UTC, datetime

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from taskforge_client.wire.jobs import (
    AttemptView,
    Encoding,
    ErrorView,
    JobOptions,
    JobSpec,
    JobView,
    Progress,
)
from taskforge_client.wire.policies import Backoff, RetryPolicy, UniquePolicy
from taskforge_client.wire.states import JobState, OnParentFailure

# Text as JSON and PostgreSQL can hold it: no lone surrogates, no zero characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = TEXTS.filter(bool)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone
SECONDS = st.floats(0, 1e6)
WHOLE = st.integers(-(2**63), 2**63 - 1)
PLAIN: SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
LABELS = st.lists(NAMES, max_size=3).map(tuple)
META = st.dictionaries(NAMES, TEXTS, max_size=3)

RETRY_POLICIES = st.builds(
    RetryPolicy,
    backoff=st.sampled_from(Backoff),
    attempts=st.integers(1, 1000),
    first_seconds=SECONDS,
    factor=st.floats(0.1, 100),
    cap_seconds=SECONDS,
    jitter=st.floats(0, 1),
)
UNIQUE_POLICIES = st.builds(
    UniquePolicy, key=st.binary(max_size=16), window_seconds=st.none() | SECONDS
)
JOB_OPTIONS = st.builds(
    JobOptions,
    queue=NAMES,
    priority=st.integers(-100, 100),
    delay_seconds=st.none() | SECONDS,
    run_at=st.none() | TIMES,
    expires_seconds=st.none() | SECONDS,
    timeout_seconds=st.none() | SECONDS,
    retry=st.none() | RETRY_POLICIES,
    max_attempts=st.none() | st.integers(1, 1000),
    key=st.none() | NAMES,
    unique=st.none() | UNIQUE_POLICIES,
    tags=LABELS,
    meta=META,
    after=LABELS,
    on_parent_failure=st.sampled_from(OnParentFailure),
    dead_letters=st.booleans(),
)
JOB_SPECS = st.builds(
    JobSpec,
    task=NAMES,
    args=st.none() | st.dictionaries(TEXTS, PLAIN, max_size=3),
    payload=st.none() | st.binary(max_size=40),
    encoding=st.sampled_from(Encoding),
    options=JOB_OPTIONS,
)
ERROR_VIEWS = st.builds(ErrorView, type=NAMES, message=TEXTS, traceback=TEXTS, group=TEXTS)
ATTEMPT_VIEWS = st.builds(
    AttemptView,
    attempt=st.integers(1, 1000),
    state=st.sampled_from(JobState),
    finished_at=TIMES,
    started_at=st.none() | TIMES,
    worker=st.none() | NAMES,
    error=st.none() | ERROR_VIEWS,
    log=st.none() | TEXTS,
)
PROGRESS = st.builds(Progress, done=SECONDS, total=st.none() | SECONDS, note=st.none() | TEXTS)
JOB_VIEWS = st.builds(
    JobView,
    id=NAMES,
    task=NAMES,
    queue=NAMES,
    state=st.sampled_from(JobState),
    priority=st.integers(-100, 100),
    attempt=st.integers(0, 1000),
    max_attempts=st.integers(1, 1000),
    created_at=TIMES,
    run_at=st.none() | TIMES,
    finished_at=st.none() | TIMES,
    tags=LABELS,
    meta=META,
    payload=st.binary(max_size=40),
    encoding=st.sampled_from(Encoding),
    result=st.none() | st.binary(max_size=40),
    error=st.none() | ERROR_VIEWS,
    progress=st.none() | PROGRESS,
    attempts=st.lists(ATTEMPT_VIEWS, max_size=2).map(tuple),
)
MESSAGES = st.one_of(JOB_OPTIONS, JOB_SPECS, JOB_VIEWS, RETRY_POLICIES, PROGRESS, ERROR_VIEWS)
