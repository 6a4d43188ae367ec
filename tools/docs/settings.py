"""Generator of docs/settings.md: every setting, its variable and its place in config.yaml.

May import: core.settings, core.weights, tools.docs.fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import cast

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from core.settings import STAGE_LIMITS_S, Endpoints, EndpointSpec, Settings, secret_settings
from core.weights import TABLE
from tools.docs.fields import Field, fields_of, link, parts_of, table

_HEAD = """\
<!-- Made by `python -m tools.docs` from core/settings/: change that and run it again. -->

# Settings

`config.yaml` in the project's root folder has the settings of a deployment, and `endpoints.yaml` has its endpoints.
Environment variables override single settings of `config.yaml`; an empty variable counts as unset. Lists are separated
by commas. Each process reads its settings once, when it starts. If a setting is wrong, the process ends with a message
that names the setting, but not its value.

Secrets are read from the environment only; a secret in `config.yaml` is refused. [storage.md](storage.md) and
[pictures.md](pictures.md) explain the settings of `storage` and `signing`.
"""

_LIMITS = """\
## Limits of the stages

Time limit of a stage's execution in seconds, if its `…_limit_s` is unset, by weights profile. The time in queue and
cold start has its own limit, `orchestrator.queue_allowance_s`.
"""

_PINS = """\
## Pins of weights

The `full` weights are downloaded when an image is built, each at the commit or SHA-256 that core/weights/ pins. A build
variable can set another commit; a branch or tag is refused. See [models.md](models.md).
"""

_ENDPOINTS = """\
## endpoints.yaml

All endpoints by name. localpod, the orchestrator and [deploy](deploy.md) read this file.
"""


def page() -> str:
    parts = [_part(name, field.annotation) for name, field in Settings.model_fields.items()]
    return "\n".join(
        [
            _HEAD,
            *parts,
            _LIMITS,
            _limits(),
            _PINS,
            _pins(),
            _ENDPOINTS,
            _plain_table(fields_of(EndpointSpec)),
            *_endpoint_parts(),
        ]
    )


def _part(name: str, annotation: object) -> str:
    cls = cast("type[BaseSettings]", annotation)
    return f"## {name}\n\n{inspect.getdoc(cls)}\n\n{_settings_table(cls, name)}"


def _settings_table(cls: type[BaseSettings], part: str) -> str:
    head = ["Variable", "In config.yaml", "Type", "Bounds", "Default", "What it is"]
    return table(head, (_row(field, cls, part) for field in fields_of(cls))) + "\n"


def _row(field: Field, cls: type[BaseSettings], part: str) -> list[str]:
    in_file = "–" if field.name in secret_settings(cls) else f"`{part}.{field.name}`"
    kind = field.kind.removesuffix(" or null")
    return [f"`{variable(cls, field.name)}`", in_file, kind, field.bounds or "–", field.default, field.description]


def variable(cls: type[BaseSettings], name: str) -> str:
    return f"{cls.model_config.get('env_prefix', '')}{name}".upper()


def _limits() -> str:
    stages = list(next(iter(STAGE_LIMITS_S.values())))
    rows = ([f"`{profile}`", *(f"{limits[stage]:g}" for stage in stages)] for profile, limits in STAGE_LIMITS_S.items())
    return table(["Weights", *(f"`{stage}`" for stage in stages)], rows) + "\n"


def _pins() -> str:
    return table(["Variable", "Weights", "Pin in the code"], sorted(set(_pinned()))) + "\n"


def _pinned() -> Iterator[tuple[str, str, str]]:
    for entries in TABLE.values():
        for entry in entries.values():
            if setting := getattr(entry.source, "setting", None):
                known = getattr(entry.source, "commit", None) or getattr(entry.source, "sha256", None)
                yield f"`{setting}`", entry.name, f"`{known}`" if known else "none: set the variable"


def _endpoint_parts() -> Iterator[str]:
    for name, schema in parts_of([Endpoints], "validation").items():
        if name != EndpointSpec.__name__:
            description = schema.get("description") or _used_by(name)
            yield f"### {name}\n\n{description}\n\n{_plain_table(fields_of(_model(name)))}"


def _used_by(name: str) -> str:
    users = [field.name for field in fields_of(EndpointSpec) if link(name) in field.kind]
    return f"Of an endpoint's `{'`, `'.join(users)}`."


def _model(name: str) -> type[BaseModel]:
    import core.settings

    found: type[BaseModel] = getattr(core.settings, name)
    return found


def _plain_table(fields: Iterable[Field]) -> str:
    rows = ([f"`{field.name}`", field.kind, field.bounds or "–", field.default, field.description] for field in fields)
    return table(["Field", "Type", "Bounds", "Default", "What it is"], rows) + "\n"
