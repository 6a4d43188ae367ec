"""A pydantic model as the rows of a table, read from its JSON Schema.

May import: pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel

Schema = Mapping[str, Any]
Mode = Literal["validation", "serialization"]

_PATTERNS = {r"\S": "not blank", r"^[\x21-\x7e]+$": "printable ASCII without spaces"}
_FORMATS = {"password": "secret", "path": "path"}


@dataclass(frozen=True, slots=True)
class Field:
    """One documented field; `part` is the message that it contains, if any."""

    name: str
    kind: str
    bounds: str
    default: str
    description: str
    part: str | None


@cache
def schema_of(model: type[BaseModel], mode: Mode) -> dict[str, Any]:
    return model.model_json_schema(mode=mode)


def fields_of(model: type[BaseModel], mode: Mode = "validation") -> list[Field]:
    schema = schema_of(model, mode)
    return [_field(name, given, schema) for name, given in schema["properties"].items()]


def parts_of(models: Iterable[type[BaseModel]], mode: Mode) -> dict[str, Schema]:
    """The messages inside `models`, by name, without enums."""
    found: dict[str, Schema] = {}
    for model in models:
        found |= {name: part for name, part in schema_of(model, mode).get("$defs", {}).items() if "properties" in part}
    return found


def _field(name: str, given: Schema, schema: Schema) -> Field:
    required = name in schema.get("required", ())
    return Field(
        name=name,
        kind=_kind(given, schema),
        bounds=", ".join(_bounds(given)),
        default="required" if required else _default(given.get("default")),
        description=given.get("description", ""),
        part=_part(given, schema),
    )


def _resolved(given: Schema, schema: Schema) -> Schema:
    found: Schema = schema["$defs"][_name(given)] if "$ref" in given else given
    return found


def _name(given: Schema) -> str:
    return str(given["$ref"]).rpartition("/")[2]


def _alternatives(given: Schema) -> list[Schema]:
    return list(given.get("anyOf", [given]))


def _kind(given: Schema, schema: Schema) -> str:
    return " or ".join(_one_kind(alternative, schema) for alternative in _alternatives(given))


def _one_kind(given: Schema, schema: Schema) -> str:
    found = _resolved(given, schema)
    if "properties" in found:
        return link(_name(given))
    if "enum" in found or "const" in found:
        return " \\| ".join(f"`{value}`" for value in found.get("enum", [found.get("const")]))
    if found.get("type") == "array":
        return _list_kind(found, schema)
    if found.get("type") == "object":
        return f"object of {_kind(found['additionalProperties'], schema)}s"
    return _FORMATS.get(found.get("format", ""), str(found["type"]))


def _list_kind(found: Schema, schema: Schema) -> str:
    if places := found.get("prefixItems"):
        return f"list of {len(places)} {_kind(places[0], schema)}s"
    kind = _kind(found["items"], schema)
    return f"list of {kind}" if kind.startswith(("[", "`")) else f"list of {kind}s"


def _part(given: Schema, schema: Schema) -> str | None:
    for alternative in _alternatives(given):
        inner = alternative.get("items", alternative)
        if "$ref" in inner and "properties" in _resolved(inner, schema):
            return _name(inner)
    return None


def link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _bounds(given: Schema) -> Iterator[str]:
    for found in _alternatives(given):
        if (above := found.get("exclusiveMinimum")) is not None:
            yield f"more than {above:,g}"
        yield from _range(found.get("minimum"), found.get("maximum"), "")
        yield from _range(found.get("minLength"), found.get("maxLength"), " characters")
        if "prefixItems" not in found:
            yield from _range(found.get("minItems"), found.get("maxItems"), " items")
        if (step := found.get("multipleOf")) is not None:
            yield f"in steps of {step}"
        if (pattern := found.get("pattern")) is not None:
            yield _PATTERNS.get(pattern) or f"`{pattern}`"


def _range(least: float | None, most: float | None, unit: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{_figure(least)}–{_figure(most)}{unit}"
    elif least == 1 and unit:
        yield "not empty"
    elif least is not None:
        yield f"at least {_figure(least)}{unit}"
    elif most is not None:
        yield f"at most {_figure(most)}{unit}"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def _default(value: object) -> str:
    if value in (None, "", [], {}):
        return "–"
    if isinstance(value, dict):
        return "its own defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
