"""What may change in a message within its major version: optional fields are added, and nothing else.

Events lie in streams and outboxes for ever, replies are read by callers of an older release: what is written to others may neither
lose nor gain a value, since a reader of yesterday refuses an enum member, a null or a length that it does not know. What is asked of
us may become looser, since nobody older asks for more. Anything else is a new message, `….v2`, said beside the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Schema = Mapping[str, Any]
Direction = Literal["said", "asked"]

_WORDS_ONLY = {"title", "description", "examples", "$defs", "$schema", "$id", "$ref"}
_HANDLED = {"default", "type", "properties", "required", "enum", "const", "anyOf", "items"}
_LIMITS = {"minimum", "exclusiveMinimum", "minLength", "minItems", "maximum", "exclusiveMaximum", "maxLength", "maxItems", "pattern"}
_NULL = {"type": "null"}


def breaks(released: Mapping[str, Schema], present: Mapping[str, Schema]) -> list[str]:
    """One sentence for each promise of the released contracts that the present ones break."""
    found: list[str] = []
    for name, old in released.items():
        new = present.get(name)
        if new is None:
            found.append(f"{name}: the message was removed, and somebody may still send or read it")
            continue
        direction: Direction = "asked" if old["x-subject"].startswith("rpc.") and not name.endswith(".reply") else "said"
        found += [f"{name}: {sentence}" for sentence in _compare(_resolve(old, old), _resolve(new, new), "", direction)]
        if old["x-subject"] != new["x-subject"]:
            found.append(f"{name}: its subject changed from {old['x-subject']} to {new['x-subject']}")
    return found


def _resolve(schema: Schema, root: Schema) -> Schema:
    """The schema without references, `const` as an enum of one, and null apart as `nullable`."""
    if reference := schema.get("$ref"):
        target = root["$defs"][reference.removeprefix("#/$defs/")]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    plain = {name: value for name, value in schema.items() if name not in _WORDS_ONLY}
    if "const" in plain:
        plain["enum"] = [plain.pop("const")]
    if "properties" in plain:
        plain["properties"] = {name: _resolve(each, root) for name, each in plain["properties"].items()}
    if "items" in plain:
        plain["items"] = _resolve(plain["items"], root)
    if "anyOf" in plain:
        plain |= _without_null([_resolve(each, root) for each in plain.pop("anyOf")])
    return plain


def _without_null(choices: list[Schema]) -> dict[str, Any]:
    others = [each for each in choices if each != _NULL]
    nullable = {"nullable": True} if len(others) < len(choices) else {}
    return {**others[0], **nullable} if len(others) == 1 else {"anyOf": others, **nullable}


def _compare(old: Schema, new: Schema, path: str, direction: Direction) -> Iterator[str]:
    here = f"`{path}`" if path else "the message"
    if old.get("type") != new.get("type"):
        yield f"{here} changed its type from {old.get('type')} to {new.get('type')}"
        return
    yield from _nulls(old, new, here, direction)
    yield from _values(old, new, here, direction)
    yield from _limits(old, new, here, direction)
    yield from _fields(old, new, path, direction)
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], f"{path}[]", direction)
    for name in sorted((old.keys() | new.keys()) - _HANDLED - _LIMITS - {"nullable", "x-subject"}):
        if old.get(name) != new.get(name):
            yield f"{here} changed its {name} from {old.get(name)} to {new.get(name)}"
    if "default" in old and "default" in new and old["default"] != new["default"]:
        yield f"{here} changed its default from {old['default']} to {new['default']}"
    if old.get("anyOf") != new.get("anyOf"):
        yield f"{here} changed the forms it may have"


def _nulls(old: Schema, new: Schema, here: str, direction: Direction) -> Iterator[str]:
    if old.get("nullable") and not new.get("nullable"):
        yield f"{here} may no longer be null"
    if new.get("nullable") and not old.get("nullable") and direction == "said":
        yield f"{here} may now be null, which its readers refuse"


def _values(old: Schema, new: Schema, here: str, direction: Direction) -> Iterator[str]:
    before, after = old.get("enum"), new.get("enum")
    if before is None and after is not None:
        yield f"{here} now takes only {', '.join(after)}"
    elif before is not None and after is None and direction == "said":
        yield f"{here} may now be anything, while its readers know {', '.join(before)}"
    elif before is not None and after is not None:
        for gone in sorted(set(before) - set(after)):
            yield f"{here} lost the value {gone}"
        for added in sorted(set(after) - set(before)) if direction == "said" else ():
            yield f"{here} gained the value {added}, which its readers refuse"


def _limits(old: Schema, new: Schema, here: str, direction: Direction) -> Iterator[str]:
    for limit in sorted(_LIMITS):
        before, after = old.get(limit), new.get(limit)
        if before != after and not (direction == "asked" and _looser(limit, before, after)):
            yield f"{here} changed its {limit} from {before} to {after}"


def _looser(limit: str, before: Any, after: Any) -> bool:
    if after is None:
        return True
    if before is None or limit == "pattern":
        return False
    return after < before if "min" in limit.lower() else after > before


def _fields(old: Schema, new: Schema, path: str, direction: Direction) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
    for name, field in before.items():
        full = f"{path}.{name}" if path else name
        if name not in after:
            yield f"field `{full}` was removed or renamed"
            continue
        if name in needed_after - needed_before:
            yield f"field `{full}` became required"
        if name in needed_before - needed_after and direction == "said":
            yield f"field `{full}` became optional, while its readers count on it"
        yield from _compare(field, after[name], full, direction)
    for name in sorted((after.keys() - before.keys()) & needed_after):
        yield f"field `{path + '.' if path else ''}{name}` was added as required: give it a default"
