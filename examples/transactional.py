"""A job that commits with the data it is about, or never was.

Run `taskforge dev examples.transactional:app`, then, with the URL of the same PostgreSQL in
TASKFORGE_DATABASE_URL, `python -m examples.transactional`.
"""

import os

import psycopg

from taskforge_client import TaskForge

app = TaskForge()


@app.task(queue="mail")
def send_receipt(order: int) -> str:
    """Pretend to send a receipt."""
    return f"receipt for order {order}"


def place_order(connection: psycopg.Connection, item: str) -> str:
    """Store an order and, in the same transaction, the job that sends its receipt."""
    with connection.transaction():
        row = connection.execute(
            "insert into orders (item) values (%s) returning id", [item]
        ).fetchone()
        if row is None:
            raise LookupError("the order was not stored")
        if item == "unobtainium":
            send_receipt.within(connection).enqueue(row[0])
            raise ValueError(f"{item} is sold out: neither the order nor the job remains")
        return send_receipt.within(connection).enqueue(row[0]).id


def main(url: str) -> None:
    """Place one order that stands and one that is rolled back."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table if not exists orders (id bigint generated always as identity, item text)"
        )
        job = place_order(connection, "teapot")
        print(f"order and job {job} were committed together")
        try:
            place_order(connection, "unobtainium")
        except ValueError as error:
            print(error)
        row = connection.execute(
            "select (select count(*) from orders), (select count(*) from taskforge.jobs)"
        ).fetchone()
        print("orders and jobs:", row)


if __name__ == "__main__":
    main(os.environ["TASKFORGE_DATABASE_URL"])
