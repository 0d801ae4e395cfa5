#!/usr/bin/env python3
"""Tells whether an OpenAPI document takes from clients what the released one promised them.

    compatible.py                     the committed documents against openapi/released
    compatible.py BEFORE AFTER        one document against another
    compatible.py --self-test         whether each rule finds what it is for

Under /v1 nothing may go or be narrowed: paths, methods, parameters, media types, fields of answers, values that may be sent. What a
server may answer must not be widened: a client that knows all values of an enumeration is not ready for a further one. `oasdiff`
itself is not packaged for Python or Node.js, hence these rules; they are those of its `breaking` that our documents can run into. The exit code is 1 if something would break.
"""

import copy
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2] / "openapi"
PREFIX = "/v1/"
METHODS = ("get", "put", "post", "patch", "delete")
# A limit of a value that is sent, and whether a larger one allows more.
LIMITS = {
    "maxLength": True,
    "maxItems": True,
    "maximum": True,
    "minLength": False,
    "minItems": False,
    "minimum": False,
}


class Comparison:
    def __init__(self, before, after):
        self.documents = before, after
        self.faults = []

    def fault(self, where, what):
        self.faults.append(f"{where}: {what}")

    def resolve(self, side, schema):
        """A schema without references, the parts of an `allOf` as one."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return self.resolve(side, self.documents[side]["components"]["schemas"][name])
        whole = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema.get("allOf", []):
            part = self.resolve(side, part)
            properties = {**whole.get("properties", {}), **part.get("properties", {})}
            required = [*whole.get("required", []), *part.get("required", [])]
            whole = {**part, **whole}
            if properties:
                whole |= {"properties": properties, "required": required}
        return whole

    def run(self):
        before, after = (document["paths"] for document in self.documents)
        for path, operations in before.items():
            if not path.startswith(PREFIX):
                continue
            if path not in after:
                self.fault(path, "the path is gone")
                continue
            for method in METHODS:
                if method in operations:
                    where = f"{method.upper()} {path}"
                    if method in after[path]:
                        self.operation(where, operations[method], after[path][method])
                    else:
                        self.fault(where, "the method is gone")
        return self.faults

    def operation(self, where, before, after):
        if before["operationId"] != after["operationId"]:
            self.fault(where, f"operation {before['operationId']} is called {after['operationId']}, and so are methods of clients")
        if before.get("security") == [] and after.get("security") != []:
            self.fault(where, "it was for everybody")
        self.parameters(where, before, after)
        self.request(where, before.get("requestBody"), after.get("requestBody"))
        for status, answer in before["responses"].items():
            if not status.startswith("2"):
                continue
            if status not in after["responses"]:
                self.fault(where, f"it no more answers {status}")
                continue
            self.answer(f"{where} {status}", answer, after["responses"][status])
        for status in after["responses"]:
            if status.startswith("2") and status not in before["responses"]:
                self.fault(where, f"it may answer {status} as well, which no client waits for")

    def parameters(self, where, before, after):
        key = lambda parameter: (parameter["in"], parameter["name"])
        old = {key(parameter): parameter for parameter in before.get("parameters", [])}
        new = {key(parameter): parameter for parameter in after.get("parameters", [])}
        for place, parameter in old.items():
            name = f"{where} {place[0]} {place[1]}"
            if place not in new:
                self.fault(name, "the parameter is gone")
                continue
            if new[place].get("required") and not parameter.get("required"):
                self.fault(name, "it is required now")
            self.sent(name, parameter["schema"], new[place]["schema"], set())
        for place in new.keys() - old.keys():
            if new[place].get("required"):
                self.fault(f"{where} {place[0]} {place[1]}", "a new parameter is required")

    def request(self, where, before, after):
        if after is None:
            if before is not None:
                self.fault(where, "it takes no body any more")
            return
        if before is None:
            if after.get("required"):
                self.fault(where, "it requires a body")
            return
        if after.get("required") and not before.get("required"):
            self.fault(where, "its body is required now")
        for media_type, form in before["content"].items():
            if media_type not in after["content"]:
                self.fault(where, f"it takes no {media_type} any more")
            else:
                self.sent(f"{where} body", form["schema"], after["content"][media_type]["schema"], set())

    def answer(self, where, before, after):
        for name in before.get("headers", {}):
            if name not in after.get("headers", {}):
                self.fault(where, f"its header {name} is gone")
        for media_type, form in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                self.fault(where, f"it answers no {media_type} any more")
            else:
                self.told(where, form["schema"], after["content"][media_type]["schema"], set())

    def common(self, where, before, after, seen, go_on):
        """Both sides without references, or None where they have been compared already."""
        names = (before.get("$ref"), after.get("$ref"))
        if None not in names:
            if names in seen:
                return None
            seen.add(names)
        before, after = self.resolve(0, before), self.resolve(1, after)
        if "items" in before and "items" in after:
            go_on(f"{where}[]", before["items"], after["items"], seen)
        extra = before.get("additionalProperties"), after.get("additionalProperties")
        if all(isinstance(schema, dict) for schema in extra):
            go_on(f"{where}.*", *extra, seen)
        return before, after

    def sent(self, where, before, after, seen):
        """What clients send: whatever was taken must still be."""
        pair = self.common(where, before, after, seen, self.sent)
        if pair is None:
            return
        before, after = pair
        is_wider = before.get("type") == "integer" and after.get("type") == "number"
        if "type" in after and after["type"] != before.get("type") and not is_wider:
            self.fault(where, f"it was of type {before.get('type')} and is {after['type']}")
        if before.get("nullable") and not after.get("nullable"):
            self.fault(where, "it may not be null any more")
        if "enum" in after:
            gone = [value for value in before.get("enum", ["anything"]) if value not in after["enum"]]
            for value in gone:
                self.fault(where, f"it takes no {value!r} any more")
        if "pattern" in after and after["pattern"] != before.get("pattern"):
            self.fault(where, f"it has to be like {after['pattern']} now")
        for limit, larger_is_wider in LIMITS.items():
            old, new = before.get(limit), after.get(limit)
            if new is None or old == new:
                continue
            is_narrower = old is None or (new < old) == larger_is_wider
            if is_narrower and not (old is None and new == 0 and not larger_is_wider):
                self.fault(where, f"{limit} was {old} and is {new}")
        old, new = before.get("properties", {}), after.get("properties", {})
        for name, schema in old.items():
            if name not in new:
                self.fault(f"{where}.{name}", "the field is not taken any more")
            else:
                self.sent(f"{where}.{name}", schema, new[name], seen)
        for name in set(after.get("required", [])) - set(before.get("required", [])):
            self.fault(f"{where}.{name}", "the field is required now")

    def told(self, where, before, after, seen):
        """What clients are told: whatever was promised must still hold."""
        pair = self.common(where, before, after, seen, self.told)
        if pair is None:
            return
        before, after = pair
        is_narrower = before.get("type") == "number" and after.get("type") == "integer"
        if "type" in before and before["type"] != after.get("type") and not is_narrower:
            self.fault(where, f"it was of type {before['type']} and is {after.get('type')}")
        if after.get("nullable") and not before.get("nullable"):
            self.fault(where, "it may be null now")
        if "enum" in before:
            for value in after.get("enum", ["anything"]):
                if value not in before["enum"]:
                    self.fault(where, f"it may be {value!r} now")
        choices = [
            {choice.get("$ref", json.dumps(choice, sort_keys=True)) for choice in side.get("oneOf", [])} for side in (before, after)
        ]
        if before.get("oneOf") and choices[1] - choices[0]:
            self.fault(where, f"it may be {', '.join(sorted(choices[1] - choices[0]))} now")
        for choice in before.get("oneOf", []):
            if "$ref" in choice and choice in after.get("oneOf", []):
                self.told(f"{where}({choice['$ref'].rsplit('/', 1)[-1]})", choice, choice, seen)
        old, new = before.get("properties", {}), after.get("properties", {})
        for name, schema in old.items():
            if name not in new:
                self.fault(f"{where}.{name}", "the field is gone")
            else:
                self.told(f"{where}.{name}", schema, new[name], seen)
        for name in set(before.get("required", [])) - set(after.get("required", [])):
            if name in new:
                self.fault(f"{where}.{name}", "the field may be left out now")


# ---- Self test ----------------------------------------------------------------------------------

SMALL = {
    "paths": {
        "/v1/things/{thing}": {
            "get": {
                "operationId": "getThing",
                "security": [],
                "parameters": [
                    {"in": "path", "name": "thing", "required": True, "schema": {"type": "string", "maxLength": 9}},
                    {"in": "query", "name": "sort", "schema": {"type": "string", "enum": ["up", "down"]}},
                ],
                "responses": {
                    "200": {
                        "headers": {"ETag": {"schema": {"type": "string"}}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Thing"}},
                            "text/csv": {"schema": {"type": "string"}},
                        },
                    },
                    "202": {},
                },
            },
            "put": {
                "operationId": "putThing",
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/NewThing"}},
                        "text/csv": {"schema": {"type": "string"}},
                    }
                },
                "responses": {"204": {}},
            },
        },
        "/v1/other": {"post": {"operationId": "other", "responses": {"200": {}}}},
        "/healthz": {"get": {"operationId": "health", "responses": {"200": {}}}},
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["name", "state"],
                "properties": {
                    "name": {"type": "string"},
                    "state": {"type": "string", "enum": ["on", "off"]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                    "kind": {"oneOf": [{"$ref": "#/components/schemas/Plain"}]},
                },
            },
            "Plain": {"type": "object"},
            "NewThing": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "nullable": True, "maxLength": 9},
                    "size": {"type": "integer", "minimum": 1},
                },
            },
        }
    },
}
# Changes that break clients: where, what to put there (None takes it away), and a word of the fault.
GET, PUT = ("paths", "/v1/things/{thing}", "get"), ("paths", "/v1/things/{thing}", "put")
THING, NEW = ("components", "schemas", "Thing"), ("components", "schemas", "NewThing")
BODY, ANSWER = (*PUT, "requestBody"), (*GET, "responses", "200")
BREAKING = [
    (("paths", "/v1/other"), None, "the path is gone"),
    (PUT, None, "the method is gone"),
    ((*GET, "operationId"), "fetchThing", "is called fetchThing"),
    ((*GET, "security"), [{"bearer": []}], "for everybody"),
    ((*GET, "parameters", 1), None, "the parameter is gone"),
    ((*GET, "parameters", 1, "required"), True, "is required now"),
    ((*GET, "parameters", 1, "schema", "enum"), ["up"], "takes no 'down'"),
    ((*GET, "parameters", 0, "schema", "maxLength"), 8, "maxLength was 9"),
    ((*GET, "parameters", 0, "schema", "pattern"), "^a", "has to be like"),
    ((*PUT, "parameters"), [{"in": "query", "name": "n", "required": True, "schema": {}}], "a new parameter"),
    (BODY, None, "takes no body"),
    ((*BODY, "required"), True, "body is required"),
    (("paths", "/v1/other", "post", "requestBody"), {"required": True, "content": {}}, "requires a body"),
    ((*BODY, "content", "text/csv"), None, "takes no text/csv"),
    ((*NEW, "properties", "size"), None, "not taken any more"),
    ((*NEW, "properties", "size", "minimum"), 2, "minimum was 1"),
    ((*NEW, "properties", "size", "type"), "string", "was of type integer"),
    ((*NEW, "properties", "name", "nullable"), None, "may not be null"),
    ((*NEW, "required"), ["name"], "the field is required"),
    ((*GET, "responses", "202"), None, "no more answers 202"),
    ((*GET, "responses", "201"), {}, "may answer 201"),
    ((*ANSWER, "headers", "ETag"), None, "header ETag is gone"),
    ((*ANSWER, "content", "text/csv"), None, "answers no text/csv"),
    ((*THING, "properties", "parts"), None, "the field is gone"),
    ((*THING, "properties", "name", "type"), "integer", "was of type string"),
    ((*THING, "properties", "name", "nullable"), True, "may be null"),
    ((*THING, "properties", "state", "enum"), ["on", "off", "broken"], "may be 'broken'"),
    ((*THING, "properties", "state", "enum"), None, "may be 'anything'"),
    ((*THING, "properties", "kind", "oneOf", 1), {"$ref": "#/components/schemas/Thing"}, "may be #/components"),
    ((*THING, "required"), ["name"], "may be left out"),
]
HARMLESS = [
    (("paths", "/healthz"), None),
    (("paths", "/v1/new"), {"get": {"operationId": "new", "responses": {"200": {}}}}),
    ((*GET, "parameters", 2), {"in": "query", "name": "n", "schema": {"type": "string"}}),
    ((*GET, "parameters", 0, "schema", "maxLength"), 10),
    ((*GET, "parameters", 1, "schema", "enum"), ["up", "down", "none"]),
    ((*NEW, "properties", "colour"), {"type": "string"}),
    ((*NEW, "properties", "size", "type"), "number"),
    ((*THING, "properties", "colour"), {"type": "string"}),
    ((*THING, "properties", "state", "enum"), ["on"]),
    ((*GET, "responses", "404"), {}),
]


def changed(place, value):
    document = copy.deepcopy(SMALL)
    inner = document
    for part in place[:-1]:
        inner = inner[part]
    last = place[-1]
    if isinstance(inner, list):
        inner[last : last + 1] = [] if value is None else [value]
    elif value is None:
        del inner[last]
    else:
        inner[last] = value
    return document


def self_test():
    for place, value, word in BREAKING:
        faults = Comparison(SMALL, changed(place, value)).run()
        assert any(word in fault for fault in faults), f"{place} = {value}: {faults}"
    for place, value in HARMLESS:
        faults = Comparison(SMALL, changed(place, value)).run()
        assert not faults, f"{place} = {value}: {faults}"
    assert not Comparison(SMALL, SMALL).run()
    print(f"{len(BREAKING)} changes that break are found, {len(HARMLESS)} that do not are let through")
    return 0


def main():
    words = sys.argv[1:]
    if words == ["--self-test"]:
        return self_test()
    pairs = [words] if words else [(ROOT / "released" / name, ROOT / name) for name in ("edge.json", "cloud.json")]
    code = 0
    for pair in pairs:
        before, after = (json.loads(pathlib.Path(place).read_text(encoding="utf-8")) for place in pair)
        faults = Comparison(before, after).run()
        for fault in faults:
            print(f"FAIL  {pathlib.Path(pair[1]).name}: {fault}")
        if faults:
            code = 1
        else:
            print(f"pass  {pathlib.Path(pair[1]).name}: {len(after['paths'])} paths, nothing taken away")
    return code


if __name__ == "__main__":
    sys.exit(main())
