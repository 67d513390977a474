"""The stream of changes in the OpenAPI document."""

from api.openapi import query
from api.openapi.answers import ANYWHERE, errors, request_headers
from api.openapi.forms import Json

_EXAMPLE = (
    "id: 5f0c2a9be1d34786:812.790\n"
    "event: change\n"
    'data: {"position":"orders/0@81234","ids":["og_01HXYZ8Q2M4N6P8R0T2V4W6X8Y"],"list":{"count":1,"changed":true}}\n\n'
)
_DESCRIPTION = """Server-Sent Events, to be read with `fetch`, since `EventSource` cannot send `Authorization`.

- `change`: `position` is what the read model reflects; `ids` are the groups that changed since the last event, or
  `"many": true` if they are more than 200, or cannot be named. With parameters of a list, `list` has its exact `count`,
  and whether its page has changed. The first event comes at once.
- `reset`, before a `change`: it is not known what changed; `reason` says why. Read the list again.
- `unavailable`: the read model cannot be read; the stream ends. Connect again.

At most 5 events a second; changes in between come together. A comment every 15 s shows that the stream lives. A client
that does not read gets what it missed as one event, and is disconnected after 30 s. `Last-Event-ID` goes on without a
gap, on any server of the API: an id may come twice, but none is left out."""


def changes() -> Json:
    return {
        "operationId": "followOrderGroups",
        "summary": "Follow the changes of order groups",
        "description": _DESCRIPTION,
        "tags": ["Order groups"],
        "parameters": [*query.list_parameters(), *request_headers("LastEventID")],
        "responses": {
            "200": {
                "description": "The stream. It ends when the server does, or when the credentials expire.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
            },
            **errors("400", "401", "429", *ANYWHERE),
        },
    }
