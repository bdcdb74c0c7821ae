"""The published Python runtime under load: the agents `count` and `echo`, over a WebSocket. The first line on stdout is the URL."""

import asyncio

from arcp import RuntimeInfo, serve_websocket
from arcp.runtime import ARCPRuntime, StaticBearerVerifier


async def count(value, ctx):
    for number in range(value["n"]):
        await ctx.log("info", f"event {number}".ljust(value["size"], "."))
    return {"count": value["n"]}


async def echo(value, ctx):
    await ctx.log("info", "echo started")
    return {"echoed": value}


async def serve():
    runtime = ARCPRuntime(
        runtime=RuntimeInfo(name="published", version="1.1.3"),
        bearer=StaticBearerVerifier({"s3cret": "bench"}),
    )
    for agent in (count, echo):
        runtime.register_agent(agent.__name__, agent)
    async with await serve_websocket(runtime.accept, host="127.0.0.1", port=0) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/arcp", flush=True)
        await server.serve_forever()


asyncio.run(serve())
