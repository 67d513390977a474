"""Static membership: whether another process has our instance id in the group.

The group has one member of an id. A process that joins with an id that another process has replaces that one, which is
fenced: the broker refuses it from then on. If it joined again, it would fence the other in turn, and so on for ever. So
it waits until the group has no other member of the id: then the other one has ended, or its session has expired.
"""

from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import FencedInstanceIdError

from events.errors import LogUnavailable
from events.logs.kafka.client import REQUEST_MS, connected, kafka_errors
from events.logs.kafka.url import KafkaSettings


class Fenced(LogUnavailable):
    """Another process has joined the group with our instance id."""


class StaticMember:
    """Of one process, whose subscriptions join the group one after the other."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        # What the broker has called us. Empty before we have joined for the first time: a process that starts replaces
        # the member of its id, which may be itself, before a restart.
        self._member_id = ""

    def joined(self, member_id: str) -> None:
        """`member_id`: empty while the process is no member."""
        self._member_id = member_id or self._member_id

    def check(self) -> None:
        """Raises Fenced while another process is the member of our instance id, once we have been that ourselves.

        Raises LogUnavailable where the group cannot be read.
        """
        settings = self._settings
        if settings.instance is None or not self._member_id:
            return
        admin, _ = connected(KafkaAdminClient, settings, request_timeout_ms=REQUEST_MS)
        with closing(admin), kafka_errors(settings):
            group = admin.describe_groups([settings.group])[settings.group]
        if group["error"]:
            raise LogUnavailable(f"{settings}: the group {settings.group} cannot be read: {group['error']}")
        for member in group["members"]:
            if member["group_instance_id"] == settings.instance and member["member_id"] != self._member_id:
                raise fenced(settings, f"it is at {member['client_host'].lstrip('/')}")


def check_membership(consumer: Any, settings: KafkaSettings) -> None:
    """Raises Fenced if a heartbeat was refused for that: kafka-python then ends them, and reports commits only."""
    coordinator = consumer._coordinator
    is_joining = coordinator._join_task is not None or coordinator.rejoin_needed
    if settings.instance and coordinator.stable() and not is_joining and not coordinator._heartbeat_enabled:
        raise fenced(settings, f"{FencedInstanceIdError.message}: {FencedInstanceIdError.description}")


def fenced(settings: KafkaSettings, reason: object) -> Fenced:
    return Fenced(
        f"{settings}: another process has our instance id {settings.instance!r} in the group {settings.group!r} "
        f"(KAFKA_INSTANCE, or instance in EVENT_LOG_URL): {reason}"
    )
