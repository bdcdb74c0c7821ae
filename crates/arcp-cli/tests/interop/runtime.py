"""The published runtime. `runtime.py serve` is its own `arcp serve`; `runtime.py ws` and `runtime.py stdio` host agents with it, over a
WebSocket or this program's pipes; `runtime.py restless` asks for a sign of life each second. Over a WebSocket, the first line on stdout is the URL."""

import asyncio
import sys

import arcp.cli
from arcp import RuntimeInfo, StdioTransport, serve_websocket
from arcp.runtime import (
    ARCPRuntime,
    InMemoryCredentialProvisioner,
    InMemoryRevocationLog,
    StaticBearerVerifier,
)
from arcp import AgentNotAvailableError, error_class_for


def announce(server):
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/arcp", flush=True)
    return server


async def echo(value, ctx):
    await ctx.log("info", "echo started")
    return {"echoed": value}


async def kinds(_, ctx):
    await ctx.log("info", "a log")
    await ctx.thought("a thought")
    await ctx.tool_call({"tool_call_id": "call_1", "name": "search", "arguments": {"query": "arcp"}})
    await ctx.tool_result({"tool_call_id": "call_1", "output": {"hits": 3}})
    await ctx.status("working", "hard")
    await ctx.metric({"name": "rows", "value": 12408, "unit": "rows"})
    artifact = {"artifact_id": "a1", "media_type": "text/html", "size_bytes": 7, "uri": "arcp://artifacts/a1"}
    await ctx.job.emit_event("artifact_ref", artifact)
    await ctx.progress(1, total=2, units="steps")
    await ctx.job.emit_event("x-vendor.fixture.note", {"text": "note"})


async def spend(value, ctx):
    for amount in value["amounts"]:
        ctx.authorize("tool.call", "search.web")
        await ctx.metric({"name": "cost.search", "value": amount, "unit": "USD"})
    return {"left": str(ctx.budget["USD"])}


async def sleep(value, ctx):
    await ctx.status("sleeping")
    await asyncio.sleep(value["ms"] / 1000)


async def count(value, ctx):
    for number in range(value["n"]):
        await ctx.log("info", f"event {number}")
    return {"count": value["n"]}


async def stream(value, ctx):
    async with ctx.stream_result() as result:
        for letter in value["letters"]:
            piece = letter * value["bytes"]
            await result.write(piece if value["text"] else piece.encode())


async def fail(value, _):
    raise error_class_for(value["code"])("said so")


async def rotate(_, ctx):
    await ctx.rotate_credential(ctx.credentials[0].id, "sk-second")


async def version(_, ctx):
    return {"version": ctx.agent_version}


def hosted(heartbeat=30):
    runtime = ARCPRuntime(
        heartbeat_interval_sec=heartbeat,
        runtime=RuntimeInfo(name="published", version="1.1.3"),
        bearer=StaticBearerVerifier({"s3cret": "alice"}),
        credential_provisioner=InMemoryCredentialProvisioner(),
        revocation_log=InMemoryRevocationLog(),
    )
    for agent in (echo, kinds, spend, sleep, count, stream, fail, rotate):
        runtime.register_agent(agent.__name__, agent)
    runtime.register_agent_version("versioned", "1.0.0", version)
    runtime.register_agent_version("versioned", "2.0.0", version)
    return runtime


async def over_websocket(runtime):
    async with announce(await serve_websocket(runtime.accept, host="127.0.0.1", port=0)) as server:
        await server.serve_forever()


async def over_pipes():
    await hosted().accept(await StdioTransport.from_std_streams())


def own_program():
    # Its program says the port that it was told rather than the one that it has.
    listen = arcp.cli.serve_websocket

    async def serve(*args, **options):
        return announce(await listen(*args, **options))

    arcp.cli.serve_websocket = serve
    arcp.cli.main(["serve", "--port", "0", "--token", "s3cret", "--principal", "alice"])


match sys.argv[1]:
    case "serve":
        own_program()
    case "ws":
        asyncio.run(over_websocket(hosted()))
    case "restless":
        asyncio.run(over_websocket(hosted(heartbeat=1)))
    case "stdio":
        asyncio.run(over_pipes())
