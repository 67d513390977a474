"""A commit script of which one command fails, whichever is asked for, and a log that is applied by such commits."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from typing import Any

import pytest

from events.logs.log import Partition, Record
from projector.errors import StoreUnavailable
from projector.project import Decoded, decode_record, group_ids, known, project
from projector.readmodel.schema.keys import Generation
from projector.store import commit, pending, redis
from projector.store.commit import Advance, Outcome, request
from projector.store.nodes import Nodes
from projector.store.pending import PendingCommit
from projector.store.redis import Store
from tests import readmodel
from tests.chaos.ledger import Ledger
from tests.chaos.simulation.events import Events
from tests.chaos.stage import found
from tests.servers.cluster import Place

FAIL_AT = readmodel.PREFIX + "fail_at"
PARTITIONS = (Partition("orders", 0), Partition("orders", 1))
# Of events of which `rich_batch` makes the script use all its commands, but for the one of redrives and discards.
SEED = 20
COMMANDS = set(re.findall(r"redis\.call\('([A-Z]+)'", commit.SCRIPT))
# So that small groups have bitmaps of values, and get them.
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
    """From here on this process commits by a script of which the command fails that `fail_at` names, from 1 on."""
    script = commit.SCRIPT.replace("#!lua\n", "#!lua\n" + _FAULTY, 1)
    monkeypatch.setattr(pending, "SCRIPT", script)
    monkeypatch.setattr(pending, "SHA", sha1(script.encode()).hexdigest())
    monkeypatch.setattr(redis, "_EVEN_IF_FULL", script.replace("#!lua", "#!lua flags=allow-oom", 1))
    monkeypatch.setattr(commit, "BROAD_GROUPS_MIN", BROAD_GROUPS_MIN)


class Torn:
    """Two partitions of random events on their way into one shard. All events of a group lie in one partition."""

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

    def at(self, partition: Partition) -> int | None:
        return self.store.positions(self.generation, 0, [partition])[0]

    def batch(self, partition: Partition, stop: int | None = None) -> list[Decoded]:
        """From where Redis stands, to the end if not told otherwise."""
        return [decode_record(record) for record in self.logs[partition][self.at(partition) or 0 : stop]]

    def request(self, partition: Partition, batch: list[Decoded]) -> list[str | bytes]:
        states = self.store.load(self.generation, 0, ids) if (ids := group_ids(batch)) else {}
        change = project({group_id: known(group_id, states[group_id]) for group_id in states}, batch)
        return request(change, {partition: Advance(self.at(partition), batch[-1].record.offset + 1)})

    def send(self, partition: Partition, batch: list[Decoded]) -> PendingCommit:
        return self.store.commit(self.generation, 0, self.request(partition, batch))

    @contextmanager
    def failing(self, at: int) -> Iterator[None]:
        """The block makes a commit of which that command fails, if there are as many."""
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
        """To the end, however often another partition was faster."""
        while batch := self.batch(partition):
            outcome = self.send(partition, batch).outcome()
            assert outcome in (Outcome.STORED, Outcome.CHANGED, Outcome.AHEAD)

    def recover(self, torn: PendingCommit, partition: Partition) -> None:
        """In one of the ways in which it goes on."""
        way = self.chance.choice(("the same again", "a start", "the other partition"))
        if way == "the same again":
            assert torn.outcome() in (Outcome.STORED, Outcome.ALREADY)
            return
        torn.discard()
        other = PARTITIONS[1 - PARTITIONS.index(partition)]
        if way == "a start" or not self.batch(other):
            self.store.finish(self.generation, 0)
            self.check()
            if rest := self.batch(partition):
                # Cut elsewhere than before.
                cut = self.chance.randint(1, len(rest))
                assert self.send(partition, rest[:cut]).outcome() is Outcome.STORED
        else:
            self.apply(other)

    def content(self) -> dict[bytes, object]:
        return content(self.client)

    def is_torn(self) -> bool:
        """Whether readers are told so. Before anything else is written, and after all is, the note may be alone."""
        is_told = bool(self.client.hexists(self.generation.keys(0).position, "unfinished"))
        assert not is_told or self.client.exists(self.generation.keys(0).note)
        return is_told

    def check(self) -> None:
        """At the positions that Redis has: all that lies before them, and nothing else; each fate exact."""
        assert not self.is_torn()
        self.ledger.check(found(readmodel.read(self.client)), complete=False)

    def finish(self) -> None:
        for partition in PARTITIONS:
            self.store.finish(self.generation, 0)
            self.apply(partition)
        self.check()
        assert {name: at for name, at in found(readmodel.read(self.client)).positions.items() if at} == self.ledger.ends


def content(client: Any, asking: bool = False, hidden: str = "") -> dict[bytes, object]:
    """All that a server has of the shard. `asking`: also of a slot that is on its way to it. `hidden`: the command that
    it has under another name.
    """

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
    """It lists groups, unlists, changes and parks, after others that are applied."""
    life.publish(100)
    life.apply(PARTITIONS[1])
    batch = life.batch(PARTITIONS[0])
    first = life.send(PARTITIONS[0], batch[:12])
    assert first.outcome() is Outcome.STORED
    return batch[12:]
