"""What a marketplace of a given size needs: all figures, with their source. docs/sizing.md has the formulas."""

from math import ceil

from msgspec import Struct

MIB = 1024**2

# Bytes in Redis of a group of two orders, of a million in `make bench` (1 660 and 1 324), rounded up; and of each order
# more: record, members of its seller's sorted set. Redis 7.0 and Valkey 9.
GROUP_BYTES = {"redis": 1_700, "valkey": 1_400}
ORDER_BYTES = {"redis": 200, "valkey": 155}
# Bytes in Redis for each event of the sample marketplace: the estimate of a replay where no generation is live.
BYTES_PER_EVENT = 800
# Orders of the group that GROUP_BYTES is about.
GROUP_ORDERS = 2
# The active generation, and the one that a replay builds.
GENERATIONS = 2
# Share of maxmemory that is filled: the alert OrderGroupsRedisFills fires above.
FILLED = 0.85
# What a rewrite of the append-only file copies, as a share of maxmemory. An assumption between 0.01 (measured without
# writes) and 1 (every page is written meanwhile): INFO has aof_last_cow_size.
REWRITE_SHARE = 0.5
# Bytes of the append-only file after a rewrite for each byte of memory (measured: 144 MB for 325 MB). It grows to twice
# that before the next rewrite, which writes a second one.
FILE_SHARE = 0.45
FILES = 3

# Bytes of an event in the log: the sample marketplace's have 460, and a record has headers.
EVENT_BYTES = 550
# Events that one process applies a second, and that one Redis takes, with room to catch up: half of the 16 600 and of
# the 19 700 that `make bench` measured on two cores.
PROJECTOR_EVENTS_PER_S = 8_000
REDIS_EVENTS_PER_S = 10_000
# What a worker of a replay folds in a second, on two cores that it shares with Redis and the log.
REBUILD_EVENTS_PER_S = 15_000
# Requests that a process of the API answers a second: less than half of the slowest list of `make bench`.
API_REQUESTS_PER_S = 2_000

# Bytes of one process: a projector with its cache of 20 000 groups; an API, and what it holds of each group of each
# generation, to search for `q`.
PROJECTOR_BYTES = 300 * MIB
API_BYTES = 100 * MIB
API_GROUP_BYTES = 90

# Memory of a master beyond which a fork and a full copy to a replica take long.
MASTER_BYTES_MAX = 24 * 1024 * MIB
# Shards for each master of a cluster, so that they spread evenly; partitions for each projector, so that more can
# share them.
SHARDS_PER_MASTER = 4
PARTITIONS_PER_PROJECTOR = 4
# Two of each: one may be restarted.
PROCESSES_MIN = 2


class Load(Struct, frozen=True):
    """`events_per_group`: over its whole life. `server`: redis or valkey. `workers`: of a replay."""

    groups: int
    events_per_s: float
    requests_per_s: float = 100
    orders_per_group: float = 2
    events_per_group: float = 3
    server: str = "redis"
    workers: int = 1


class Size(Struct, frozen=True):
    """`redis_bytes`: maxmemory of all masters together. `machine_bytes`: with room for a rewrite of the append-only
    file. `disk_bytes`: of that file. `log_bytes`: of one copy. `api_bytes`: of one process. `rebuild_s`: of
    `replay build`.
    """

    generation_bytes: int
    redis_bytes: int
    machine_bytes: int
    disk_bytes: int
    masters: int
    shards: int
    events: int
    log_bytes: int
    rebuild_s: float
    partitions: int
    projectors: int
    projector_bytes: int
    apis: int
    api_bytes: int


def size(load: Load) -> Size:
    orders_more = load.orders_per_group - GROUP_ORDERS
    generation = round(load.groups * (GROUP_BYTES[load.server] + orders_more * ORDER_BYTES[load.server]))
    held = GENERATIONS * generation
    redis = ceil(held / FILLED)
    masters = max(ceil(redis / MASTER_BYTES_MAX), ceil(load.events_per_s / REDIS_EVENTS_PER_S), 1)
    events = round(load.groups * load.events_per_group)
    projectors = max(ceil(load.events_per_s / PROJECTOR_EVENTS_PER_S), PROCESSES_MIN)
    return Size(
        generation_bytes=generation,
        redis_bytes=redis,
        machine_bytes=round(redis * (1 + REWRITE_SHARE)),
        disk_bytes=round(held * FILE_SHARE * FILES),
        masters=masters,
        shards=1 if masters == 1 else _power_of_two(SHARDS_PER_MASTER * masters),
        events=events,
        log_bytes=events * EVENT_BYTES,
        rebuild_s=events / (REBUILD_EVENTS_PER_S * load.workers),
        partitions=_power_of_two(max(PARTITIONS_PER_PROJECTOR * projectors, load.workers)),
        projectors=projectors,
        projector_bytes=PROJECTOR_BYTES,
        apis=max(ceil(load.requests_per_s / API_REQUESTS_PER_S), PROCESSES_MIN),
        api_bytes=API_BYTES + GENERATIONS * load.groups * API_GROUP_BYTES,
    )


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
