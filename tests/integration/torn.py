"""A commit script with a failing command, and a log that is applied by such commits."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.errors import StoreUnavailable
from projector.project import Decoded, decode_record, group_ids, project
from projector.readmodel.schema.keys import Generation
from projector.store.commit import COMMIT, Advance, Outcome
from projector.store.nodes import Nodes
from projector.store.pending import PendingCommit
from projector.store.redis import Store
from projector.store.request import request
from tests import readmodel
from tests.chaos.ledger import Ledger
from tests.chaos.simulation.events import Events
from tests.integration.committing import make_values_broad, replace_in_script
from tests.servers.cluster import Place

FAIL_AT = readmodel.PREFIX + "fail_at"
PARTITIONS = (Partition("orders", 0), Partition("orders", 1))
# With this seed, `rich_batch` makes the script use all its commands except that of redrives and discards.
SEED = 20
COMMANDS = set(re.findall(r"redis\.call\('([A-Z]+)'", COMMIT.text)) | {"HDEL", "ZADD", "ZREM", "BITFIELD"}
# Low, so that values of few groups get bitmaps.
BROAD_GROUPS_MIN = 3

_FAULTY = """
local called, real = 0, redis
local fail_at = tonumber(real.call('GET', string.sub(KEYS[1], 1, -5) .. 'fail_at') or 0)
local redis = setmetatable({call = function(...)
  called = called + 1
  if called == fail_at then
    error({err = 'ERR injected ' .. (...) .. ' ' .. tostring((select(2, ...)))})
  end
  return real.call(...)
end}, {__index = real})
"""


def make_faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the commit script of this process by one whose n-th command fails; `fail_at` in Redis is n, from 1."""
    replace_in_script(monkeypatch, "#!lua\n", "#!lua\n" + _FAULTY)
    make_values_broad(monkeypatch, BROAD_GROUPS_MIN)


class Torn:
    """Applies two partitions of random events to one shard. All events of a group are in one partition."""

    def __init__(self, place: Place, seed: int) -> None:
        self.chance = random.Random(seed)
        self.client: Any = place.client()
        self.client.flushall()
        self.store = Store(Nodes(place.url))
        self.generation: Generation = self.store.generation()
        self.ledger = Ledger(exact=True)
        self.logs: dict[Partition, list[Record]] = {partition: [] for partition in PARTITIONS}
        self.failed: list[str] = []
        self._events = Events(self.chance)

    def close(self) -> None:
        self.store.nodes.close()
        self.client.close()

    def publish(self, number: int) -> None:
        for _ in range(number):
            event, entry = self._events.next()
            partition = PARTITIONS[sum(entry.key or b"") % 2]
            log = self.logs[partition]
            self.ledger.note(str(partition), len(log), event)
            log.append(Record(partition, len(log), 0, entry.key, entry.value, entry.headers))

    def publish_of_new_groups(self, number: int) -> None:
        self._events.groups += number
        self.publish(2 * number)

    def at(self, partition: Partition) -> int | None:
        return self.store.positions(self.generation, 0, [partition])[0]

    def batch(self, partition: Partition, stop: int | None = None) -> list[Decoded]:
        """Returns records from Redis' position to `stop`, by default all."""
        return [decode_record(record) for record in self.logs[partition][self.at(partition) or 0 : stop]]

    def request(self, partition: Partition, batch: list[Decoded]) -> list[str | bytes]:
        stored = self.store.load(self.generation, 0, ids) if (ids := group_ids(batch)) else {}
        change = project(self.store.known(self.generation, 0, stored), batch)
        return request(change, {partition: Advance(self.at(partition), batch[-1].record.offset + 1)})

    def send(self, partition: Partition, batch: list[Decoded]) -> PendingCommit:
        return self.store.commit(self.generation, 0, self.request(partition, batch))

    @contextmanager
    def failing(self, at: int) -> Iterator[None]:
        """Makes the n-th command of the block's commit fail, if there are as many."""
        self.client.set(FAIL_AT, at)
        try:
            yield
        except StoreUnavailable as error:
            if "injected" not in str(error) or error.refusal != "OTHER":
                raise
            self.failed.append(str(error).partition("injected ")[2].split(" ")[0])
        finally:
            self.client.delete(FAIL_AT)

    def apply(self, partition: Partition) -> None:
        """Applies all records, retrying after changes by another partition."""
        while batch := self.batch(partition):
            outcome = self.send(partition, batch).outcome()
            assert outcome in (Outcome.STORED, Outcome.CHANGED, Outcome.AHEAD)

    def recover(self, torn: PendingCommit, partition: Partition) -> None:
        """Recovers in one of the possible ways."""
        way = self.chance.choice(("retry", "restart", "the other partition"))
        if way == "retry":
            assert torn.outcome() in (Outcome.STORED, Outcome.ALREADY)
            return
        torn.discard()
        other = PARTITIONS[1 - PARTITIONS.index(partition)]
        if way == "restart" or not self.batch(other):
            self.store.finish(self.generation, 0)
            self.check()
            if rest := self.batch(partition):
                # Split differently than before.
                cut = self.chance.randint(1, len(rest))
                assert self.send(partition, rest[:cut]).outcome() is Outcome.STORED
        else:
            self.apply(other)

    def content(self) -> dict[bytes, object]:
        return content(self.client)

    def is_torn(self) -> bool:
        """Whether readers see that a commit is half written. The note alone means that it has not begun, or is done."""
        is_marked = bool(self.client.hexists(self.generation.keys(0).position, "unfinished"))
        assert not is_marked or self.client.exists(self.generation.keys(0).note)
        return is_marked

    def check(self) -> None:
        """Checks the content at Redis' positions."""
        assert not self.is_torn()
        self.ledger.check(readmodel.read(self.client), complete=False)

    def finish(self) -> None:
        for partition in PARTITIONS:
            self.store.finish(self.generation, 0)
            self.apply(partition)
        self.check()
        assert {name: at for name, at in readmodel.read(self.client).positions.items() if at} == self.ledger.ends


def content(client: Any, asking: bool = False, hidden: str = "") -> dict[bytes, object]:
    """Returns a server's content of the shard. `asking`: include a slot being imported. `hidden`: a renamed command."""

    def read(command: str, *arguments: object) -> Any:
        if asking:
            client.execute_command("ASKING")
        return client.execute_command("HIDDEN" + command if command == hidden else command, *arguments)

    found: dict[bytes, object] = {}
    for key in client.scan_iter(match=readmodel.PREFIX + "*"):
        kind = read("TYPE", key)
        if kind == b"hash":
            found[key] = read("HGETALL", key)
        elif kind == b"zset":
            found[key] = read("ZRANGE", key, 0, -1, "WITHSCORES")
        else:
            found[key] = read("GET", key)
    return found


def rich_batch(life: Torn) -> list[Decoded]:
    """Returns a batch that adds, lists, unlists and changes groups, and parks events, after others that are applied.

    A failover has lost the reservation of the ordinals for its new groups.
    """
    life.publish(100)
    life.apply(PARTITIONS[1])
    batch = life.batch(PARTITIONS[0])
    first = life.send(PARTITIONS[0], batch[:12])
    assert first.outcome() is Outcome.STORED
    life.publish_of_new_groups(10)
    life.client.set(readmodel.PREFIX + "ordinals", 0)
    return life.batch(PARTITIONS[0])
