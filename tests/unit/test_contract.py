import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from events.contract.schemas import RECORD_BYTES_MAX, documents, rendered
from tests.verdicts import TYPES, decoder_takes, fits, schema_takes

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS = documents()
ASYNCAPI = DOCUMENTS["asyncapi.json"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_committed_files_are_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == rendered(DOCUMENTS[name]), "run: make docs"


@pytest.mark.parametrize("kind", TYPES)
def test_the_schemas_are_valid_and_so_are_their_examples(kind: str) -> None:
    schema = DOCUMENTS[f"schemas/{kind}.json"]
    Draft202012Validator.check_schema(schema)
    assert schema["examples"]
    for example in schema["examples"]:
        assert schema_takes(example)
        assert decoder_takes(json.dumps(example).encode())


def test_asyncapi_has_its_required_sections() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= ASYNCAPI["info"].keys()
    assert ASYNCAPI["servers"]["kafka"]["protocol"] == "kafka"
    assert ASYNCAPI["channels"]["orders"]["address"] == "orders"
    assert [operation["action"] for operation in ASYNCAPI["operations"].values()] == ["receive"]
    assert len(ASYNCAPI["components"]["messages"]) == 4


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_reference_resolves(name: str) -> None:
    references = list(_references(DOCUMENTS[name]))
    assert references
    for reference in references:
        node = DOCUMENTS[name]
        root, *parts = reference.split("/")
        assert root == "#", "the documents stand alone"
        for part in parts:
            node = node[part]


@pytest.mark.parametrize("name", ASYNCAPI["components"]["messages"])
def test_examples_of_messages_are_valid(name: str) -> None:
    """In both content modes, by schema and by decoder."""
    message = ASYNCAPI["components"]["messages"][name]
    trait = ASYNCAPI["components"]["messageTraits"][message["traits"][0]["$ref"].rpartition("/")[2]]
    assert trait["bindings"]["kafka"]["key"]
    payload = {**message["payload"], "components": ASYNCAPI["components"]}
    assert message["examples"]
    for example in message["examples"]:
        assert fits(payload, example["payload"])
        for headers in (trait["headers"], message.get("headers", {})):
            assert fits(headers, example["headers"])
        assert example["headers"]["content-type"] == trait["contentType"]
        record_headers = tuple((header, text.encode()) for header, text in example["headers"].items())
        assert decoder_takes(json.dumps(example["payload"]).encode(), record_headers)


@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
def test_the_record_limit_is_that_of_created_topics() -> None:
    from events.logs.kafka.log import RECORD_BYTES_MAX as OURS

    assert RECORD_BYTES_MAX == OURS
