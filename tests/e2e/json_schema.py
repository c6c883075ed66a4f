"""What a JSON document breaks of a JSON Schema, for the keywords that docs/*.schema.json use. Others are refused."""

import re

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
         "number": (int, float)}
SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description", "then", "else"}


def _is(value, name):
    return isinstance(value, TYPES[name]) and not (name in ("integer", "number") and isinstance(value, bool))


class Schema:
    def __init__(self, root):
        self._root = root

    def complaints(self, value):
        """A list of texts, empty where the value is as the schema says."""
        return list(self._check(self._root, value, "$"))

    def _holds(self, schema, value):
        return not list(self._check(schema, value, ""))

    def _check(self, schema, value, at):
        if schema is True:
            return
        for keyword, wanted in schema.items():
            if keyword in SAYS_NOTHING:
                continue
            check = getattr(self, f"_{keyword.strip('$')}", None)
            if check is not None:
                yield from check(wanted, value, at, schema)
            elif not PLAIN[keyword](wanted, value):
                yield f"{at}: {value!r} is not as {keyword} {wanted!r} says"

    def _ref(self, path, value, at, _):
        found = self._root
        for step in path[2:].split("/"):
            found = found[step]
        yield from self._check(found, value, at)

    def _properties(self, properties, value, at, _):
        if isinstance(value, dict):
            for name in value.keys() & properties.keys():
                yield from self._check(properties[name], value[name], f"{at}.{name}")

    def _additionalProperties(self, allowed, value, at, schema):
        assert allowed is False
        if isinstance(value, dict):
            yield from (f"{at}.{name} is not foreseen" for name in value.keys() - schema["properties"].keys())

    def _items(self, schema, value, at, _):
        if isinstance(value, list):
            for i, item in enumerate(value):
                yield from self._check(schema, item, f"{at}[{i}]")

    def _allOf(self, schemas, value, at, _):
        for schema in schemas:
            yield from self._check(schema, value, at)

    def _anyOf(self, schemas, value, at, _):
        if not any(self._holds(schema, value) for schema in schemas):
            yield f"{at}: {value!r} is none of what is allowed"

    def _not(self, schema, value, at, _):
        if self._holds(schema, value):
            yield f"{at}: {value!r} is what it must not be"

    def _if(self, condition, value, at, schema):
        yield from self._check(schema.get("then" if self._holds(condition, value) else "else", True), value, at)


# keyword: whether it holds. What is of another type than the keyword is for passes.
PLAIN = {
    "type": lambda wanted, value: any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted)),
    "const": lambda wanted, value: value == wanted and type(value) is type(wanted),
    "enum": lambda wanted, value: value in wanted,
    "minimum": lambda wanted, value: not _is(value, "number") or value >= wanted,
    "maximum": lambda wanted, value: not _is(value, "number") or value <= wanted,
    "exclusiveMinimum": lambda wanted, value: not _is(value, "number") or value > wanted,
    "minLength": lambda wanted, value: not isinstance(value, str) or len(value) >= wanted,
    "pattern": lambda wanted, value: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minItems": lambda wanted, value: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda wanted, value: not isinstance(value, list) or len(value) <= wanted,
    "required": lambda wanted, value: not isinstance(value, dict) or not set(wanted) - value.keys(),
}
