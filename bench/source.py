"""What `projector source` costs a shop, and how fast it publishes.

    python -m bench.source     BENCH_ORDERS (1 000 000) and BENCH_SECONDS (10) change its size; results go to
                               BENCH_RESULTS (bench/results)

PostgreSQL, on one machine with the writers, keeps what it commits (fsync). A write is one transaction: an INSERT into
`order`, or an UPDATE of its status. The relay is a process, and publishes to SQLite, as `publish` does with the same
events.
"""

import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psycopg
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import runs
from bench.runs import Run
from events.logs.open import open_log, sqlite_url
from events.publisher import entry_of
from events.sources.backfill import begin_backfill
from events.sources.database import connected
from events.sources.mapping import Mapping, load_mapping
from events.sources.schema import install, remove
from events.sources.status import read_status
from projector.publish import publish_entries
from tests.processes import Process
from tests.servers.postgres import MISSING, PostgresServer, home
from tests.servers.process import CHECK_EVERY_S
from tests.sources.mercur import Mercur

FULL = 1_000_000
ORDERS = int(os.environ.get("BENCH_ORDERS", FULL))
SECONDS = float(os.environ.get("BENCH_SECONDS", 10))
WRITERS = (1, 16)
# Each of plain and noted writes is measured so often, in turn.
ROUNDS = 3


class Writes(Struct):
    """Transactions per second without triggers and with them; the overhead in percent of the time of one."""

    kind: str
    writers: int
    plain: float
    noted: float
    overhead_percent: float


class Report(Run):
    """`shop_p99_ms`: of one UPDATE a time, without a backfill and during one. `relay_rss_mb`: at most."""

    orders: int
    writes: list[Writes]
    backfill_per_s: float
    publish_per_s: float
    relay_rss_mb: float
    shop_p99_ms: list[float]


class Timed(NamedTuple):
    per_s: float
    p99_ms: float


def main() -> None:
    programs = home()
    if programs is None:
        raise SystemExit(f"bench: {MISSING}")
    console, mapping = Console(), load_mapping("mercur2")
    machine = runs.machine(runs.NO_REDIS)
    with tempfile.TemporaryDirectory() as folder, PostgresServer(programs, {"shared_buffers": "512MB"}) as server:
        machine.postgresql = server.version()
        url = server.url("postgres")
        with closing(Mercur(url)) as shop:
            shop.create()
            _fill(shop, ORDERS)
            writes = [_writes(url, mapping, kind, writers) for kind in _KINDS for writers in WRITERS]
            quiet = _timed(url, _update, 1, SECONDS)
            with connected(url) as connection:
                install(connection, mapping)
            per_s, rss_mb, busy = _backfill(Path(folder), url, mapping)
        published_per_s = _publish(Path(folder))
    report = Report(
        runs.now(),
        runs.commit(),
        machine,
        ORDERS,
        writes,
        round(per_s),
        round(published_per_s),
        round(rss_mb, 1),
        [round(quiet.p99_ms, 2), round(busy.p99_ms, 2)],
    )
    _show(console, report)
    console.print(runs.save("source", ORDERS, FULL, report))


def _fill(shop: Mercur, orders: int) -> None:
    """Groups of two orders."""
    half = orders // 2
    for into, values in {
        "order_group (id, customer_id, cart_id, display_id)": f"'og' || i, 'cus_1', 'cart' || i, i FROM {_to(half)}",
        "payment_collection (id, currency_code, amount, raw_amount, status)": (
            f"'pay' || i, 'eur', 21, '{{}}', 'authorized' FROM {_to(half)}"
        ),
        "cart_payment_collection (id, cart_id, payment_collection_id)": f"i, 'cart' || i, 'pay' || i FROM {_to(half)}",
        '"order" (id, customer_id, sales_channel_id, email, currency_code)': (
            f"'o' || i, 'cus_1', 'sc_1', 'ada@shop.test', 'eur' FROM {_to(orders)}"
        ),
        "order_summary (id, order_id, totals)": (
            f"""i, 'o' || i, '{{"raw_current_order_total": {{"value": "10.5"}}}}' FROM {_to(orders)}"""
        ),
        "order_order_seller_seller (id, order_id, seller_id)": f"i, 'o' || i, 'sel_' || 1 + i % 4 FROM {_to(orders)}",
        "order_cart (id, order_id, cart_id)": f"i, 'o' || i, 'cart' || 1 + (i - 1) / 2 FROM {_to(orders)}",
        "order_group_order (id, order_id, order_group_id)": (
            f"i, 'o' || i, 'og' || 1 + (i - 1) / 2 FROM {_to(orders)}"
        ),
    }.items():
        shop.sql(f"INSERT INTO {into} SELECT {values}")
    shop.sql("VACUUM ANALYZE")


def _to(number: int) -> str:
    return f"generate_series(1, {number}) i"


# --- writes ---

Write = Callable[["psycopg.Connection[tuple[object, ...]]", random.Random], object]


def _insert(connection: "psycopg.Connection[tuple[object, ...]]", chance: random.Random) -> None:
    connection.execute(
        "INSERT INTO \"order\" (id, customer_id, email, currency_code) VALUES (%s, 'cus_1', 'ada@shop.test', 'eur')",
        [f"new{chance.getrandbits(64)}"],
    )


def _update(connection: "psycopg.Connection[tuple[object, ...]]", chance: random.Random) -> None:
    connection.execute(
        "UPDATE \"order\" SET status = 'completed', updated_at = now() WHERE id = %s", [f"o{chance.randint(1, ORDERS)}"]
    )


_KINDS: dict[str, Write] = {"insert an order": _insert, "update an order": _update}


def _writes(url: str, mapping: Mapping, kind: str, writers: int) -> Writes:
    """In turns, since the speed of a machine changes."""
    plain, noted = [], []
    with connected(url) as connection:
        for _ in range(ROUNDS):
            remove(connection)
            plain.append(_timed(url, _KINDS[kind], writers, SECONDS / ROUNDS).per_s)
            install(connection, mapping)
            noted.append(_timed(url, _KINDS[kind], writers, SECONDS / ROUNDS).per_s)
        remove(connection)
    one, two = statistics.median(plain), statistics.median(noted)
    return Writes(kind, writers, round(one), round(two), round((one / two - 1) * 100, 1))


def _timed(url: str, write: Write, writers: int, seconds: float) -> Timed:
    took_s: list[float] = []

    def work(seed: int) -> None:
        chance = random.Random(f"{seed} {time.time_ns()}")
        own = []
        with psycopg.connect(url, autocommit=True) as connection:
            deadline_s = time.monotonic() + seconds
            while (start_s := time.monotonic()) < deadline_s:
                write(connection, chance)
                own.append(time.monotonic() - start_s)
        took_s.extend(own)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Timed(len(took_s) / seconds, statistics.quantiles(took_s, n=100)[98] * 1000)


# --- the relay ---


def _backfill(folder: Path, url: str, mapping: Mapping) -> tuple[float, float, Timed]:
    """Returns orders per second, the relay's memory in MB, and an UPDATE of the shop meanwhile."""
    with connected(url) as connection:
        begin_backfill(connection, mapping)
        with Process("source", "run", cwd=folder, SOURCE_URL=url, EVENT_LOG_URL=_log_url(folder)) as relay:
            start_s = time.monotonic()
            busy = _timed(url, _update, 1, SECONDS)
            while read_status(connection, mapping, 0).backfill.running:
                time.sleep(CHECK_EVERY_S)
            took_s = time.monotonic() - start_s
            memory = Path(f"/proc/{relay.process.pid}/status").read_text()
            relay.stop()
    return ORDERS / took_s, int(memory.split("VmHWM:")[1].split()[0]) / 1024, busy


def _publish(folder: Path) -> float:
    """Returns events per second of `publish` with the same events."""
    with closing(sqlite3.connect(folder / "orders.db")) as connection:
        values = [value for (value,) in connection.execute("SELECT value FROM log LIMIT 100000")]
    with open_log(sqlite_url(folder / "again.db"), {}) as log:
        log.create()
        start_s = time.monotonic()
        published, _ = publish_entries(log, map(entry_of, values))
        return published / (time.monotonic() - start_s)


def _log_url(folder: Path) -> str:
    return sqlite_url(folder / "orders.db")


def _show(console: Console, report: Report) -> None:
    table = Table("write", "writers", "without triggers", "with", "overhead")
    for one in report.writes:
        table.add_row(one.kind, str(one.writers), f"{one.plain:,}/s", f"{one.noted:,}/s", f"{one.overhead_percent} %")
    console.print(table)
    console.print(
        f"Backfill of {report.orders:,} orders: {report.backfill_per_s:,}/s with {report.relay_rss_mb} MB; "
        f"publish: {report.publish_per_s:,}/s. An UPDATE of the shop, p99: {report.shop_p99_ms[0]} ms, during the "
        f"backfill {report.shop_p99_ms[1]} ms."
    )


if __name__ == "__main__":
    main()
