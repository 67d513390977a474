"""The programs of docs/publishing.md send what the contract accepts, and know the position to wait for."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from events.contract.decode import decode
from events.logs.kafka.url import kafka_settings
from events.logs.sqlite.log import SqliteLog
from events.publisher import Publisher
from tests.client import node
from tests.conftest import without
from tests.poison import event
from tests.processes import Api, Process, environment
from tests.servers.kafka import kafka_libraries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "publishing.md").read_text()
# Stands for kafkajs, whose answer to a produced record has this form; a broker would say the same.
PRODUCER = """
let sent = null
class Kafka { producer() { return { connect: async () => {}, send: async (batch) => {
  sent = batch; return [{ topicName: batch.topic, partition: 3, baseOffset: "9007199254740993" }] } } } }
"""
# What a service has already: an order whose JSON has the names of the contract.
JAVA = """
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Instant;
import java.util.Map;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.StringSerializer;
import static java.nio.charset.StandardCharsets.UTF_8;

class Page {
    record Order(String id, @JsonProperty("order_group_id") String groupId, int version, String status,
                 @JsonProperty("updated_at") String updatedAt) {}

    public static void main(String[] arguments) throws Exception {
        var json = new ObjectMapper();
        var order = json.readValue(arguments[0], Order.class);
%s
        producer.close();
        System.out.println(position);
    }
}
"""
JAVA_S = 60


def program(language: str, page: str = PAGE) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("page", ["README.md", "docs/publishing.md"])
def test_python(tmp_path: Path, page: str) -> None:
    path = tmp_path / "orders.db"
    SqliteLog(path).create()
    # The repository has the package under its other name.
    text = program("python", (ROOT / page).read_text()).replace("order_group_events", "events")
    text = text.replace('"kafka://localhost:9092/orders"', f'"sqlite://{path}"')
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    shown = {"README.md": "", "docs/publishing.md": "{'X-Min-Position': 'orders/0@1'}\n"}
    assert (done.returncode, done.stdout) == (0, shown[page]), done.stderr
    with SqliteLog(path) as log:
        assert [*log.end().values()] == [1]


def test_node() -> None:
    if "node" in node.missing():
        without("there is no node")
    text = program("js")
    assert 'const { Kafka } = require("kafkajs")' in text
    order = event(1)["data"]
    text = text.replace('const { Kafka } = require("kafkajs")', PRODUCER)
    text += f"""
    const position = await publish("order.created", {json.dumps(order)})
    console.log(JSON.stringify({{ position, ...sent.messages[0] }}))
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", text], capture_output=True, text=True, check=False, timeout=node.RUN_S
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # One more than the offset, beyond what a JavaScript number can count.
    assert found["position"] == "orders/3@9007199254740994"
    assert isinstance(order, dict)
    assert found["key"] == order["order_group_id"]
    headers = tuple((name, value.encode()) for name, value in found["headers"].items())
    decoded = decode(found["value"].encode(), headers)
    assert decoded is not None
    assert decoded.group_id == order["order_group_id"]


@pytest.mark.thorough
def test_java(tmp_path: Path, kafka_topic: Callable[[int], str], one_redis_url: str) -> None:
    """Compiled and run with Kafka's own client: a list that is requested with its position shows the change."""
    java, url = shutil.which("java"), kafka_topic(2)
    if java is None or b"jdk.compiler" not in subprocess.check_output([java, "--list-modules"]):
        without("there is no JDK")
    settings = kafka_settings(url, {})
    source = tmp_path / "Page.java"
    text = program("java").replace("localhost:9092", settings.servers[0]).replace('"orders"', f'"{settings.topic}"')
    source.write_text(JAVA % text)
    created = event(1)["data"]
    assert isinstance(created, dict)
    with Publisher(url, source="/test") as publisher:
        publisher.publish("order.created", created)
    names = ("id", "order_group_id", "updated_at")
    order = {**{name: created[name] for name in names}, "version": 1_000, "status": "sent_by_java"}
    done = subprocess.run(
        [str(java), "-cp", f"{kafka_libraries()}/*", str(source), json.dumps(order)],
        capture_output=True,
        text=True,
        timeout=JAVA_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with Process("run", cwd=tmp_path, EVENT_LOG_URL=url, REDIS_URL=one_redis_url), Api(tmp_path, one_redis_url) as api:
        answer = api.client.get(
            "/admin/order-groups?fields=statuses&status=sent_by_java", headers={"X-Min-Position": done.stdout.strip()}
        )
        (group,) = answer.json()["order_groups"]
        assert group == {"id": created["order_group_id"], "statuses": ["sent_by_java"]}


@pytest.mark.parametrize("language", ["js", "java"])
def test_the_position_is_one_more_than_the_offset(language: str) -> None:
    assert re.search(r"ffset\(?\)?\)? \+ 1", program(language))
