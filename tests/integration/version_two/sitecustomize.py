"""On PYTHONPATH it makes every process of the project one of a version to come, workers included: rows have a
seller_count that is 1000 higher.
"""

import msgspec

from projector.readmodel.schema import keys

# Before other modules take it.
keys.VERSION += 1

from projector.readmodel.record import document  # noqa: E402
from projector.readmodel.record.view import View  # noqa: E402
from projector.readmodel.schema.columns import HEAD_BYTES, Columns  # noqa: E402

_row = document.row


def row(group: View, columns: Columns) -> bytes:
    stored = _row(group, columns)
    text, *sellers = stored[HEAD_BYTES:].split(b"\xff")
    shown = msgspec.json.decode(text, type=document.Row)
    more = msgspec.json.encode(msgspec.structs.replace(shown, seller_count=shown.seller_count + 1000))
    return stored[:HEAD_BYTES] + b"\xff".join((more, *sellers))


document.row = row
