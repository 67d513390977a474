"""The ceiling for the API: a FastAPI route that answers with the bytes of a file.

python -m bench.bare PORT FILE
"""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response


def bare(body: bytes) -> FastAPI:
    app = FastAPI()

    @app.get("/admin/order-groups")
    async def route() -> Response:
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        bare(Path(sys.argv[2]).read_bytes()),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
