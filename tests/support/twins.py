"""Broken twins: a SQL function of one test's database, wrong in one place.

A check that never fails proves nothing. Each twin takes one guard away, and the check that is meant
for it must go red.
"""

import psycopg


def break_function(url: str, name: str, *changes: tuple[str, str]) -> None:
    """Replace text in the definition of a function of ours.

    Args:
        url: The test's own database.
        name: The function, without its schema.
        changes: Pairs of what stands there exactly once and what is to stand there instead.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        ((definition,),) = connection.execute(
            "select pg_get_functiondef(oid) from pg_proc"
            " where proname = %s and pronamespace = 'taskforge'::regnamespace",
            [name],
        ).fetchall()
        for right, wrong in changes:
            count = definition.count(right)
            assert count == 1, f"{name} holds {right!r} {count} times; the twin no longer fits"
            definition = definition.replace(right, wrong)
        connection.execute(definition.encode())
