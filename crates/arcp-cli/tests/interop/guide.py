"""Runs a block of the porting guide as it stands: `guide.py client BLOCK` against the runtime at ARCP_URL, and tells what
it prints and what its `result` is; `guide.py host BLOCK` serves its `runtime` over a WebSocket, and says the URL first. The names that the
block uses are those that the SDK exports."""

import ast
import asyncio
import inspect
import json
import os
import sys

import arcp
import arcp.client
import arcp.runtime

# Where the guide says that a runtime is.
URL = "ws://127.0.0.1:7777/arcp"


def tell(**members):
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


async def run(block, **others):
    names = {"__name__": "guide"}
    for module in (arcp, arcp.client, arcp.runtime):
        names.update({name: value for name, value in vars(module).items() if not name.startswith("_")})
    names.update(others)
    code = compile(block, "the guide", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, names)
    if inspect.iscoroutine(done):
        await done
    return names


async def client(block):
    assert URL in block, "the guide connects elsewhere"
    names = await run(block.replace(URL, os.environ["ARCP_URL"]), print=lambda *words: tell(printed=words))
    tell(result=names["result"])


async def host(block):
    names = await run(block)
    server = await arcp.serve_websocket(names["runtime"].accept, host="127.0.0.1", port=0)
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/arcp", flush=True)
    async with server:
        await server.serve_forever()


asyncio.run({"client": client, "host": host}[sys.argv[1]](sys.argv[2]))
