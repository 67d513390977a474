"""Generates AsyncAPI 3 and JSON Schema 2020-12 from the structs of the contract.

A test compares the files in docs/, the structs and the decoder.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from events.contract.decode import CREATED, EVENT_BYTES_MAX, UPDATED, Envelope
from events.contract.order import OrderCreated, OrderUpdated
from events.contract.wording import (
    ATTRIBUTES,
    BINARY_TYPE,
    EXAMPLES,
    MEANINGS,
    PASSED_OVER,
    RULES,
    STRUCTURED_TYPE,
    SUMMARIES,
)

# The version of the contract, not of the distribution: it changes when publishers must adapt.
VERSION = "1.0.0"

# The largest record, in bytes: an event with its key and headers.
RECORD_BYTES_MAX = EVENT_BYTES_MAX + 64 * 1024

Json = dict[str, Any]

_REQUIRED = [field.name for field in msgspec.structs.fields(Envelope) if field.required]
_DATA: dict[str, type[msgspec.Struct]] = {CREATED: OrderCreated, UPDATED: OrderUpdated}


def documents() -> dict[str, Json]:
    """Returns all documents, by path relative to docs/."""
    schemas = {f"schemas/{event_type}.json": json_schema(event_type) for event_type in _DATA}
    return {"asyncapi.json": asyncapi(), **schemas}


def rendered(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def json_schema(event_type: str) -> Json:
    """Returns the self-contained JSON Schema 2020-12 of the whole event, envelope and data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{event_type}.json",
        "title": event_type,
        "description": f"{SUMMARIES[event_type]}\n\n{RULES}",
        **_event(event_type, {"$ref": "#/$defs/data"}),
        "examples": [EXAMPLES[event_type]],
        "$defs": {"data": _data(event_type)},
    }


def asyncapi() -> Json:
    """Returns AsyncAPI 3.0. Its schemas use only what JSON Schema 2020-12 shares with draft 7, AsyncAPI's base."""
    messages: Json = {}
    schemas: Json = {}
    for event_type in _DATA:
        name = _camel(event_type)
        schemas[f"{name}Data"] = _data(event_type)
        schemas[name] = _event(event_type, _ref("schemas", f"{name}Data"))
        messages[name] = _structured_message(event_type)
        messages[f"{name}Binary"] = _binary_message(event_type)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Order events",
            "version": VERSION,
            "description": f"What commerce services publish, and the order-group projector reads.\n\n{RULES}",
            "license": {"name": "MIT"},
        },
        "defaultContentType": BINARY_TYPE,
        "servers": {"kafka": _server()},
        "channels": {"orders": _channel(messages)},
        "operations": {"receiveOrderEvents": _operation(messages)},
        "components": {
            "messages": messages,
            "messageTraits": {"structured": _structured_trait(), "binary": _binary_trait()},
            "schemas": schemas,
        },
    }


def _server() -> Json:
    return {
        "host": "{host}:{port}",
        "protocol": "kafka",
        "description": "Any broker of the cluster.",
        "variables": {"host": {"default": "localhost"}, "port": {"default": "9092"}},
    }


def _channel(messages: Json) -> Json:
    return {
        "address": "orders",
        "description": "All events of all orders; those of one group share a partition by their key. "
        "The name is the default: the last part of EVENT_LOG_URL.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: _ref("messages", name) for name in messages},
        "bindings": {
            "kafka": {
                "topic": "orders",
                # Unlimited retention: a rebuild folds every event again.
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": -1,
                    "retention.bytes": -1,
                    "max.message.bytes": RECORD_BYTES_MAX,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(messages: Json) -> Json:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/orders"},
        "summary": "The projector folds the events into order groups.",
        "messages": [{"$ref": f"#/channels/orders/messages/{name}"} for name in messages],
    }


def _structured_message(event_type: str) -> Json:
    example = EXAMPLES[event_type]
    return {
        "name": event_type,
        "title": f"{event_type}, structured",
        "summary": SUMMARIES[event_type],
        "payload": _ref("schemas", _camel(event_type)),
        "traits": [_ref("messageTraits", "structured")],
        "examples": [{"name": event_type, "headers": {"content-type": STRUCTURED_TYPE}, "payload": example}],
    }


def _binary_message(event_type: str) -> Json:
    attributes = {name: value for name, value in EXAMPLES[event_type].items() if name != "data"}
    headers = {"content-type": BINARY_TYPE, **{f"ce_{name}": value for name, value in attributes.items()}}
    return {
        "name": f"{event_type}.binary",
        "title": f"{event_type}, binary",
        "summary": SUMMARIES[event_type],
        # AsyncAPI merges them with the headers of the trait.
        "headers": {"type": "object", "properties": {"ce_type": {"const": event_type}}},
        "payload": _ref("schemas", f"{_camel(event_type)}Data"),
        "traits": [_ref("messageTraits", "binary")],
        "examples": [{"name": event_type, "headers": headers, "payload": EXAMPLES[event_type]["data"]}],
    }


def _structured_trait() -> Json:
    return {
        "description": "CloudEvents 1.0, structured content mode: the value is the whole event.",
        "contentType": STRUCTURED_TYPE,
        "headers": {"type": "object", "properties": {"content-type": {"type": "string"}}},
        "bindings": _keyed(),
    }


def _binary_trait() -> Json:
    attributes = _envelope()
    # Headers are text, and cannot be null.
    options = attributes["time"].pop("anyOf")
    attributes["time"] |= next(option for option in options if option != {"type": "null"})
    return {
        "description": "CloudEvents 1.0, binary content mode: the attributes are headers, the value is `data` alone.",
        "contentType": BINARY_TYPE,
        "headers": {
            "type": "object",
            "properties": {
                **{f"ce_{name}": schema for name, schema in attributes.items()},
                "content-type": {"type": "string"},
            },
            "required": [f"ce_{name}" for name in _REQUIRED],
        },
        "bindings": _keyed(),
    }


def _keyed() -> Json:
    return {"kafka": {"key": {"type": "string", "description": "order_group_id"}, "bindingVersion": "0.5.0"}}


def _event(event_type: str, data: Json) -> Json:
    attributes = _envelope()
    attributes["type"] = {"description": ATTRIBUTES["type"], "const": event_type}
    return {
        "type": "object",
        "properties": {
            **attributes,
            **{name: {"description": text} for name, text in PASSED_OVER.items()},
            "data": data,
        },
        "required": [*_REQUIRED, "data"],
        "additionalProperties": True,
    }


def _envelope() -> Json:
    """Returns the schemas of the attributes, by name. `data` is decoded separately, so its field has no type."""
    types = {field.name: field.type for field in msgspec.structs.fields(Envelope) if field.name != "data"}
    return _described({name: msgspec.json.schema(kind) for name, kind in types.items()}, ATTRIBUTES)


def _data(event_type: str) -> Json:
    struct = _DATA[event_type]
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    return {
        "type": "object",
        "properties": _described(schema["properties"], MEANINGS),
        "required": schema["required"],
        "additionalProperties": True,
    }


def _described(schemas: Mapping[str, Json], descriptions: Mapping[str, str]) -> Json:
    """Replaces the descriptions inside `schemas`, which describe types, by one per name."""
    return {name: {"description": descriptions[name], **_bare(schema)} for name, schema in schemas.items()}


def _bare(schema: Json) -> Json:
    bare = {name: value for name, value in schema.items() if name not in ("description", "default")}
    if "anyOf" in bare:
        bare["anyOf"] = [_bare(option) for option in bare["anyOf"]]
    return bare


def _ref(section: str, name: str) -> Json:
    return {"$ref": f"#/components/{section}/{name}"}


def _camel(event_type: str) -> str:
    first, *rest = event_type.split(".")
    return first + "".join(word.capitalize() for word in rest)


def write(directory: Path) -> None:
    for name, document in documents().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered(document), encoding="utf-8")
