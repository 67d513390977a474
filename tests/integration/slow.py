"""Clients that send a byte a second. A process of its own, so that they do not slow down the test that measures.

    python -m tests.integration.slow PORT NUMBER

prints for each how many seconds after its first byte it was closed, null if it was not, and the status it was told.
"""

import asyncio
import json
import random
import sys
import time

HEAD = b"GET /admin/order-groups HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1000
# A server that is not bounded is given up after so long.
GIVE_UP_S = 20.0


async def client(port: int) -> tuple[float | None, int | None]:
    # Not all in the same millisecond of the second.
    await asyncio.sleep(random.random())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read())
    started = time.monotonic()
    for byte in HEAD:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait([answer], timeout=1.0)
        if done or time.monotonic() - started > GIVE_UP_S:
            break
    writer.close()
    if not answer.done():
        answer.cancel()
        return None, None
    seconds = time.monotonic() - started
    try:
        words = answer.result().split(b" ", 2)
    except ConnectionError:
        return seconds, None
    return seconds, int(words[1]) if len(words) > 1 else None


async def main(port: int, number: int) -> None:
    print(json.dumps(await asyncio.gather(*(client(port) for _ in range(number)))))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
