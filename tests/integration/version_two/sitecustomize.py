"""On PYTHONPATH it makes every process of the project one of a version to come, workers included: documents have a
seller_count that is 1000 higher.
"""

import msgspec

from projector.readmodel.schema import document as stored

_parts = stored.parts


def parts(document: stored.Document) -> tuple[bytes, bytes]:
    return _parts(msgspec.structs.replace(document, seller_count=document.seller_count + 1000))


stored.VERSION += 1
stored.parts = parts
