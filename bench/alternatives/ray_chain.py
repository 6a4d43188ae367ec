"""The same chain on Ray Serve: a deployment for each stage and one that chains them, all on this machine.

python ray_chain.py CHAINS IN_FLIGHT; stage times from STAND_IN_<STAGE>_S. Called over HTTP like ours; prints seconds
as JSON.
"""

import asyncio
import json
import os
import sys
import time

import aiohttp
import ray
from ray import serve
from starlette.requests import Request

PORT = 18_473


def seconds(stage: str) -> float:
    return float(os.environ.get(f"STAND_IN_{stage.upper()}_S", "0"))


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Llm:
    async def run(self, stage: str) -> dict[str, str]:
        await asyncio.sleep(seconds(stage))
        return {"stage": stage, "text": "a lighthouse at dusk"}


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Zimage:
    async def run(self, prompt: str) -> dict[str, str]:
        await asyncio.sleep(seconds("generate"))
        return {"prompt": prompt, "image_base64": "x" * 400}


@serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
class Chain:
    def __init__(self, llm: serve.handle.DeploymentHandle, zimage: serve.handle.DeploymentHandle) -> None:
        self.llm, self.zimage = llm, zimage

    async def __call__(self, request: Request) -> int:  # noqa: ARG002 - Serve passes it
        prompt = await self.llm.run.remote("expand")
        picture, caption = await asyncio.gather(self.zimage.run.remote(prompt["text"]), self.llm.run.remote("caption"))
        return len(picture["image_base64"]) + len(caption["text"])


async def main(chains: int, in_flight: int) -> None:
    places = asyncio.Semaphore(in_flight)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def one() -> float:
            async with places:
                started = time.perf_counter()
                async with http.get(f"http://127.0.0.1:{PORT}/") as answer:
                    answer.raise_for_status()
                    await answer.read()
                return time.perf_counter() - started

        for _ in range(3):
            await one()
        started = time.perf_counter()
        took = await asyncio.gather(*(one() for _ in range(chains)))
        print(json.dumps({"took": took, "all": time.perf_counter() - started}))


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Chain.bind(Llm.bind(), Zimage.bind()), route_prefix="/")  # type: ignore[attr-defined]  # the decorator made them deployments
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    serve.shutdown()
    ray.shutdown()
