"""What stands in for Dagster's webserver, and requests as nobody's client would send them."""

import asyncio
import http.client
import json
import socket as sockets
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute


def dagster():
    """An application that tells what it was asked.

    Its answer at `/halves` is whole only after somebody asks for `/more`.
    """
    wanted = asyncio.Event()

    async def echo(request):
        return JSONResponse(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": request.url.query,
                "headers": dict(request.headers),
                "body": (await request.body()).decode(),
            },
            headers={"Set-Cookie": "theirs=1", "X-Inner": "secret", "ETag": "abc"},
        )

    async def large(request):
        async def chunks():
            for _ in range(64):
                yield b"x" * 65536

        return StreamingResponse(chunks())

    async def halves(request):
        async def chunks():
            yield b"one"
            await wanted.wait()
            wanted.clear()
            yield b"two"

        return StreamingResponse(chunks())

    async def more(request):
        wanted.set()
        return Response()

    async def moved(request):
        return RedirectResponse(request.query_params["to"])

    async def talk(websocket):
        await websocket.accept("graphql-ws" if websocket.scope["subprotocols"] else None)
        headers = dict(websocket.headers)
        while True:
            said = await websocket.receive_text()
            if said in ("end", "fail"):
                await websocket.close(1000 if said == "end" else 1011)
                return
            await websocket.send_text(json.dumps({"said": said, "headers": headers}))

    routes = [
        Route("/large", large),
        Route("/halves", halves),
        Route("/more", more),
        Route("/moved", moved),
        Route("/broken", lambda _: Response(status_code=500)),
        WebSocketRoute("/graphql", talk),
        Route("/{path:path}", echo, methods=["GET", "POST"]),
    ]
    return Starlette(routes=[Mount("/dagster", routes=routes)])


def raw(address, line, headers):
    """The status of a request whose first line nobody tidies up."""
    where = urlsplit(address)
    lines = [line, f"Host: {where.netloc}"]
    lines += [] if "Connection" in headers else ["Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with sockets.create_connection((where.hostname, where.port), timeout=10) as plain:
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = http.client.HTTPResponse(plain)
        answer.begin()
        return answer.status, answer.read()
