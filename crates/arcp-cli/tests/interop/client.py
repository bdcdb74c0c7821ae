"""What the published client does with a runtime: `client.py SCENARIO`. Each line that it prints is one JSON object with one member,
named for what it tells. The runtime is at ARCP_URL, or is the child process ARCP_COMMAND."""

import asyncio
import contextlib
import faulthandler
import json
import os
import sys
from datetime import UTC, datetime, timedelta

from arcp import (
    ARCPError,
    ClientInfo,
    V1_1_FEATURES,
    LeaseConstraints,
    ListJobsFilter,
    SessionResume,
    StdioTransport,
    WebSocketTransport,
)
from arcp.client import ARCPClient, AutoAckOptions

TOKEN = "s3cret"


def tell(**members):
    print(json.dumps(members), flush=True)


class Recording:
    """A transport that writes down what crosses it."""

    def __init__(self, inner):
        self.inner, self.sent, self.received = inner, [], []

    async def send(self, envelope):
        self.sent.append(envelope)
        await self.inner.send(envelope)

    async def recv(self):
        envelope = await self.inner.recv()
        self.received.append(envelope)
        return envelope

    async def close(self):
        await self.inner.close()

    @property
    def is_closed(self):
        return self.inner.is_closed

    def numbers(self):
        return [envelope["event_seq"] for envelope in self.received if "event_seq" in envelope]


async def transport():
    if url := os.environ.get("ARCP_URL"):
        return Recording(await WebSocketTransport.connect(url))
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*json.loads(os.environ["ARCP_COMMAND"]), stdin=pipe, stdout=pipe)
    return Recording(await StdioTransport.from_process_pipes(child))


def new_client(**options):
    return ARCPClient(client=ClientInfo(name="interop", version="1.1.3"), token=options.pop("token", TOKEN), **options)


@contextlib.asynccontextmanager
async def connected(**options):
    client = new_client(**options)
    async with contextlib.aclosing(client):
        await client.connect(await transport())
        yield client


def soon(**span):
    return (datetime.now(UTC) + timedelta(**span)).isoformat().replace("+00:00", "Z")


async def all_events(handle):
    return [event async for event in handle.events()]


async def failure(awaitable):
    """The error that something ends in, as its type and what it says."""
    try:
        await awaitable
    except ARCPError as error:
        return {"type": type(error).__name__, "code": error.code, "message": error.message, "retryable": error.retryable}
    return None


async def quick_start():
    """The "Quick start" and "Submitting jobs" of its documentation."""
    async with connected() as client:
        tell(agents=[agent.name for agent in client.welcome.capabilities.agents])
        tell(features=sorted(client.negotiated_features))
        handle = await client.submit(
            agent="echo@1.0.0",
            input={"dataset": "s3://example/sales.csv"},
            lease_request={"net.fetch": ["https://example.com/**"], "tool.call": ["search.*"]},
            lease_constraints=LeaseConstraints(expires_at=soon(minutes=1)),
            idempotency_key="weekly-report-2026-W19",
            max_runtime_sec=300,
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        )
        tell(accepted={"agent": handle.agent_ref, "lease": handle.lease, "trace_id": handle.trace_id})
        tell(expires=handle.lease_constraints.expires_at is not None)
        tell(events=await all_events(handle))
        result = await handle.done
        tell(done={"final_status": result.final_status, "result": result.result})
        # Its documentation leases s3:// as well. What net.fetch is about is HTTP (§9.2): no other scheme is known here.
        s3 = client.submit(agent="echo", lease_request={"net.fetch": ["s3://example/**"]})
        tell(s3=await failure(s3))
    tell(closed=True)


async def kinds():
    async with connected() as client:
        handle = await client.submit(agent="kinds", input={})
        events = await all_events(handle)
        tell(events=[{"kind": event["kind"], "body": event["body"]} for event in events])
        tell(done=(await handle.done).final_status)


async def budgets():
    """The "Leases and budgets" of its documentation."""
    async with connected() as client:
        operations = [{"capability": "tool.call", "target": "search.web", "cost": {"USD": 0.3}} for _ in range(4)]
        handle = await client.submit(
            agent="operate",
            input={"operations": operations},
            lease_request={"tool.call": ["search.*", "fetch.*"], "cost.budget": ["USD:1.00"]},
            lease_constraints=LeaseConstraints(expires_at=soon(minutes=10)),
        )
        tell(budget=handle.budget)
        remaining = []
        async for event in handle.events():
            if event["kind"] == "metric" and event["body"].get("name") == "cost.budget.remaining":
                body = event["body"]
                remaining.append(f"{body['value']:.2f} {body.get('unit', '')}")
        tell(remaining=remaining)
        tell(outcomes=(await handle.done).result["outcomes"])
        exhausted = await client.submit(agent="fail", input={"code": "BUDGET_EXHAUSTED", "message": "spent"})
        tell(exhausted=await failure(exhausted.done))
        expiring = await client.submit(
            agent="sleep", input={"ms": 60_000}, lease_constraints=LeaseConstraints(expires_at=soon(seconds=2))
        )
        tell(expired=await failure(expiring.done))


async def stops():
    async with connected() as client:
        handle = await client.submit(agent="sleep", input={"ms": 60_000})
        async for _ in handle.events():
            await client.cancel_job(handle.job_id, reason="not needed any more")
        tell(cancelled=(await handle.done).model_dump(exclude_none=True))
        late = await client.submit(agent="sleep", input={"ms": 60_000}, max_runtime_sec=1)
        tell(timed_out=(await late.done).model_dump(exclude_none=True))
        again = await client.submit(agent="echo", input="still here")
        tell(again=(await again.done).result)


async def stops_unhelped():
    """What becomes of it where nothing is done for it: what is cancelled never ends, and nothing else is heard either."""
    async with connected() as client:
        handle = await client.submit(agent="sleep", input={"ms": 60_000})
        await client.cancel_job(handle.job_id)
        await asyncio.wait([client._read_task])
        tell(ended=handle._terminal.done())


async def budget_unhelped():
    """A budget in numbers is the end of its reader."""
    async with connected() as client:
        try:
            await client.submit(agent="echo", lease_request={"cost.budget": ["USD:1.00"]})
        except Exception as error:
            tell(error=type(error).__name__)


async def idempotency():
    async with connected() as client:
        one = await client.submit(agent="count", input={"n": 3}, idempotency_key="k")
        two = await client.submit(agent="count", input={"n": 3}, idempotency_key="k")
        # A client has one handle a job, and what comes goes to the last one: the first may never hear of its end.
        tell(same=one.job_id == two.job_id, result=(await two.done).result)
        third = await client.submit(agent="count", input={"n": 3}, idempotency_key="k")
        tell(ended=(await third.done).result, same=third.job_id == one.job_id)
        tell(refused=await failure(client.submit(agent="count", input={"n": 4}, idempotency_key="k")))


async def errors():
    """The "Error handling" of its documentation: each code is its type, and may be tried again or not."""
    tell(token=await failure(new_client(token="wrong").connect(await transport())))
    if "ARCP_URL" not in os.environ:
        return
    async with connected() as client:
        from arcp import ERROR_CODES

        tell(codes=list(ERROR_CODES))
        for code in ERROR_CODES:
            handle = await client.submit(agent="fail", input={"code": code, "message": "said so"})
            tell(job=await failure(handle.done))
        panicked = await client.submit(agent="fail", input={"panic": True})
        tell(panic=await failure(panicked.done))
        tell(request=await failure(client.submit(agent="nobody")))
        tell(request=await failure(client.submit(agent="echo@9")))
        tell(request=await failure(client.submit(agent="echo", lease_request={"nonsense": ["*"]})))
        tell(request=await failure(client.subscribe("job_01JZZZZZZZZZZZZZZZZZZZZZZZ")))
        tell(request=await failure(client.list_jobs(cursor="nonsense")))
        handle = await client.submit(agent="echo", input=1)
        tell(after=(await handle.done).result)


async def observe():
    """The "Subscribing to jobs" of its documentation, and listing in pages."""
    async with connected() as client, connected(features=("list_jobs", "subscribe")) as observer:
        ended = await client.submit(agent="count", input={"n": 5})
        await ended.done
        running = await client.submit(agent="sleep", input={"ms": 60_000})
        async for _ in running.events():
            break
        listing = await observer.list_jobs(filter=ListJobsFilter(status=("running",)))
        tell(running=[job.job_id == running.job_id for job in listing.jobs])
        page = await observer.list_jobs(limit=1)
        rest = await observer.list_jobs(limit=1, cursor=page.next_cursor)
        tell(pages=[job.agent for job in page.jobs + rest.jobs], more=rest.next_cursor)
        tell(credentials=[job.model_extra.get("credentials") for job in page.jobs + rest.jobs])

        past = await observer.subscribe(ended.job_id, history=True)
        tell(replayed=bool(past.replayed), from_seq=past.subscribed_from)
        tell(past=[event["body"]["message"] for event in await all_events(past.handle)])
        tell(result=(await past.handle.done).result)

        live = await observer.subscribe(listing.jobs[0].job_id, history=True)
        phases = []
        async for event in live.handle.events():
            phases.append(event["body"].get("phase"))
            await client.cancel_job(running.job_id)
        tell(phases=phases, status=(await live.handle.done).final_status)

        third = await client.submit(agent="sleep", input={"ms": 60_000})
        left = await observer.subscribe(third.job_id)
        await observer.unsubscribe(left.job_id)
        await observer.list_jobs()  # by now the runtime knows
        await client.cancel_job(third.job_id)
        await third.done
        await observer.list_jobs()
        tell(unsubscribed=not left.handle._terminal.done())
        tell(numbers=observer._transport.numbers())


async def replay_at_once():
    """Everything of a job that has ended comes in one go, and none of it is lost on the way to the application, many times. What is
    short is lost first: it comes together with the answer."""
    async with connected() as client:
        for size in (0, 1, 2, 20):
            handle = await client.submit(agent="count", input={"n": size})
            await handle.done
            counts = []
            for _ in range(5):
                sub = await client.subscribe(handle.job_id, history=True)
                counts.append(len(await all_events(sub.handle)))
                await sub.handle.done
            tell(counts=counts)


async def chunks():
    size, short = 524288, int(os.environ.get("ARCP_INLINE_BYTES", "524288"))
    async with connected() as client:
        for encoding in ("utf8", "base64"):
            handle = await client.submit(agent="stream", input={"chunks": 3, "chunk_bytes": size, "encoding": encoding})
            data = await handle.collect_chunks()
            result = await handle.done
            right = data == b"a" * size + b"b" * size + b"c" * size
            tell(encoding=encoding, right=right, size=result.result_size == len(data), summary=result.summary)
        inline = await client.submit(agent="echo", input="x" * short)
        tell(inline=(await inline.done).result == {"echoed": "x" * short})
    async with connected(features=("progress",)) as client:
        handle = await client.submit(agent="stream", input={"chunks": 2, "chunk_bytes": 3})
        tell(assembled=(await handle.done).result)


async def resume():
    """The "Sessions and resume" of its documentation, by a close and by a cut. A client that resumes has no handle on the jobs of the one
    before it, as it makes handles of answers only; what comes is seen where it comes in."""
    first = new_client()
    wire = await transport()
    welcome = await first.connect(wire)
    handle = await first.submit(agent="count", input={"n": 40, "delay_ms": 25})
    token, numbers, count = welcome.resume_token, [], 0
    for after in (2, 8, 14):
        while first.latest_event_seq < after:
            await asyncio.wait_for(anext(handle.events()), 10) if count == 0 else await first.watched.wait()
            if count:
                first.watched.clear()
        seen, count = first.latest_event_seq, count + 1
        numbers += [number for number in wire.numbers() if number <= seen]
        if count == 1:
            await wire.close()
        else:
            wire.inner._conn.transport.abort()
        await asyncio.wait([first._read_task])
        second = new_client()
        wire = await transport()
        second.watched = asyncio.Event()
        received = wire.recv

        async def recv(received=received, watched=second.watched):
            envelope = await received()
            watched.set()
            return envelope

        wire.recv = recv
        again = await second.resume(
            wire, resume=SessionResume(session_id=welcome.session_id, resume_token=token, last_event_seq=seen)
        )
        tell(resumed=again.session_id == welcome.session_id, rotated=again.resume_token != token)
        token, first = again.resume_token, second
    while not any(envelope["type"] == "job.result" for envelope in wire.received):
        await first.watched.wait()
        first.watched.clear()
    tell(numbers=numbers + wire.numbers())
    other = await first.submit(agent="sleep", input={"ms": 60_000})
    await first.cancel_job(other.job_id)
    tell(goes_on=(await other.done).final_status)
    await first.close()
    refused = new_client()
    stale = SessionResume(session_id=welcome.session_id, resume_token="rt_wrong", last_event_seq=0)
    tell(stale=await failure(refused.resume(await transport(), resume=stale)))


async def acks():
    """The "Consuming events" of its documentation: acknowledgements by themselves, with 20 jobs at once."""
    async with connected(auto_ack=AutoAckOptions(every_n=32, interval_sec=0.05)) as client:
        submits = [client.submit(agent="count", input={"n": 50, "delay_ms": 4}) for _ in range(20)]
        handles = await asyncio.gather(*submits)
        events = await asyncio.gather(*(all_events(handle) for handle in handles))
        results = [(await handle.done).result["count"] for handle in handles]
        tell(jobs=len({handle.job_id for handle in handles}), results=results, events=[len(each) for each in events])
        messages = [f"event {number}" for number in range(50)]
        tell(in_order=all([event["body"]["message"] for event in each] == messages for each in events))
        acked = [message["payload"]["last_processed_seq"] for message in client._transport.sent if message["type"] == "session.ack"]
        tell(acked=len(acked), rising=acked == sorted(acked), numbers=client._transport.numbers())
        await client.ack(client.latest_event_seq)
        handle = await client.submit(agent="echo", input=1)
        tell(after=(await handle.done).result)


async def heartbeats():
    """Three intervals in which it has nothing to say but that it is there."""
    async with connected() as client:
        handle = await client.submit(agent="sleep", input={"ms": 3_200})
        tell(done=(await handle.done).result)
        tell(pinged=sum(envelope["type"] == "session.ping" for envelope in client._transport.received))


async def credentials():
    """A feature that its client does not ask for unless it is told to."""
    features = (*V1_1_FEATURES, "model.use", "provisioned_credentials")
    async with connected(features=features) as client, connected(features=features) as observer:
        lease = {"cost.budget": ["USD:2.00"], "model.use": ["openai/*"]}
        handle = await client.submit(agent="rotate", input={}, lease_request=lease)
        (credential,) = handle.credentials
        tell(
            credential={"scheme": credential.scheme, "endpoint": credential.endpoint, "profile": credential.profile},
            constraints=credential.constraints.model_dump(exclude_none=True, exclude_defaults=True),
        )
        rotations = [e["body"] async for e in handle.events() if e["body"].get("phase") == "credential_rotated"]
        tell(same=[body["id"] == credential.id for body in rotations], new=[body["value"] != credential.value for body in rotations])
        tell(done=(await handle.done).final_status)
        past = await observer.subscribe(handle.job_id, history=True)
        tell(redacted=["value" not in e["body"] for e in await all_events(past.handle) if "id" in e["body"]])


async def main():
    async with asyncio.timeout(45):
        await globals()[sys.argv[1]]()


faulthandler.dump_traceback_later(55, exit=True)
asyncio.run(main())
