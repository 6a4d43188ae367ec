"""The same chain with `runpod.AsyncioEndpoint`: expand, then picture and caption in parallel.

python asyncio_chain.py CHAINS IN_FLIGHT   (endpoints `stock-llm` and `stock-zimage`); prints seconds as JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any

import runpod
from runpod import AsyncioEndpoint, http_client

runpod.api_key = "bench"


async def stage(endpoint: AsyncioEndpoint, name: str) -> Any:
    job = await endpoint.run({"stage": name})
    return await job.output(timeout=120)


async def chain(llm: AsyncioEndpoint, zimage: AsyncioEndpoint) -> float:
    started = time.perf_counter()
    await stage(llm, "expand")
    await asyncio.gather(stage(zimage, "generate"), stage(llm, "caption"))
    return time.perf_counter() - started


async def main(chains: int, in_flight: int) -> None:
    places = asyncio.Semaphore(in_flight)
    async with http_client.AsyncClientSession() as session:
        llm, zimage = AsyncioEndpoint("stock-llm", session), AsyncioEndpoint("stock-zimage", session)

        async def one() -> float:
            async with places:
                return await chain(llm, zimage)

        await one()
        started = time.perf_counter()
        took = await asyncio.gather(*(one() for _ in range(chains)))
        print(json.dumps({"took": took, "all": time.perf_counter() - started}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
