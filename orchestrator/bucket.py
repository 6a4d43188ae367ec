"""Small objects in the deployment's bucket: reads, conditional writes, deletes and lists.

May import: core.errors, core.settings, core.storage.s3, httpx, botocore.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import httpx

from core.errors import EndpointUnavailable, Misconfigured
from core.settings import StorageSettings
from core.storage.s3 import read_endpoint

_STAGE = "storage"
_TIMEOUT_S = 5.0
_LISTED_KEY = re.compile(rb"<Key>([^<]{1,600})</Key>")


class Bucket:
    """Reads and conditional writes. Raises `EndpointUnavailable` and `Misconfigured`."""

    def __init__(self, settings: StorageSettings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        endpoint, key_id, secret = settings.endpoint_url, settings.access_key_id, settings.secret_access_key
        if endpoint is None or key_id is None or secret is None:
            raise Misconfigured("No bucket is configured: set BUCKET_ENDPOINT_URL and the bucket's two keys.")
        try:
            base, region = read_endpoint(endpoint, settings.name, schemes=("https", "http"))
        except ValueError as error:
            raise Misconfigured(f"BUCKET_ENDPOINT_URL {error}.") from None
        folders = [part for part in settings.prefix.split("/") if part]
        self._bucket_url = base
        self._prefix = "".join(f"{folder}/" for folder in folders)
        self._base = "/".join([base, *folders])
        self._region = settings.region or region
        self._key = (key_id, secret.get_secret_value())
        self._client = httpx.AsyncClient(
            timeout=min(_TIMEOUT_S, settings.timeout_s), transport=transport or httpx.AsyncHTTPTransport(retries=1)
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, name: str) -> tuple[bytes | None, str | None]:
        """The object and its tag; (None, None) if it doesn't exist."""
        response = await self._send("GET", name, b"", {})
        if response.status_code == 404:
            return None, None
        self._check(response)
        return response.content, response.headers["ETag"]

    async def put(self, name: str, data: bytes, replaces: str | None) -> str | None:
        """Replace the object with the tag `replaces`, or create it. Return its tag; None if another writer won."""
        condition = {"If-None-Match": "*"} if replaces is None else {"If-Match": replaces}
        response = await self._send("PUT", name, data, condition)
        if response.status_code in {404, 409, 412}:
            return None
        self._check(response)
        tag: str = response.headers["ETag"]
        return tag

    async def write(self, name: str, data: bytes) -> None:
        """Write the object unconditionally."""
        self._check(await self._send("PUT", name, data, {}))

    async def delete(self, name: str) -> None:
        """Delete the object; a missing object is not an error."""
        response = await self._send("DELETE", name, b"", {})
        if response.status_code != 404:
            self._check(response, tagged=False)

    async def names(self, folder: str) -> list[str]:
        """The first names below `folder` in order, at most 1,000."""
        prefix = f"{self._prefix}{folder}/"
        query = f"?list-type=2&max-keys=1000&prefix={quote(prefix, safe='')}"
        response = await self._request("GET", self._bucket_url + query, b"", {})
        self._check(response, tagged=False)
        found = (name.decode() for name in _LISTED_KEY.findall(response.content))
        return [name.removeprefix(self._prefix) for name in found if name.startswith(prefix)]

    async def _send(self, method: str, name: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self._request(method, f"{self._base}/{name}", data, headers)

    async def _request(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._client.request(
                method, url, content=data, headers=self._signed(method, url, data, headers)
            )
        except httpx.HTTPError:
            raise EndpointUnavailable("The bucket can't be reached. Try again.", stage=_STAGE) from None

    def _check(self, response: httpx.Response, *, tagged: bool = True) -> None:
        if response.status_code >= 500 or response.status_code == 429:
            raise EndpointUnavailable("The bucket is not available. Try again.", stage=_STAGE)
        if response.status_code >= 300 or (tagged and "ETag" not in response.headers):
            raise Misconfigured(
                f"The bucket answered {response.status_code}: the BUCKET_* key must be allowed to read and write it.",
                stage=_STAGE,
            )

    def _signed(self, method: str, url: str, data: bytes, headers: dict[str, str]) -> dict[str, str]:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest(method=method, url=url, data=data, headers=headers)
        S3SigV4Auth(Credentials(*self._key), "s3", self._region).add_auth(request)
        return {name: str(value) for name, value in request.headers.items()}
