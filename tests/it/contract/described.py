"""Checks answers against the vendor's own description of its API (`api.json` of the package tccli).

Argument: the folder of tccli's services. Reads lines of {"product", "action", "answer"}, the latter
the content of `Response`; prints a line for each deviation and at the end how much was looked at.

Strict: a field that the description promises is there, null only where it allows null, integers are
JSON numbers without a fraction, unsigned ones are not negative, booleans are booleans, texts are
texts, and there is no field that it does not know but those in OURS.
"""

import json
import pathlib
import sys

VERSIONS = {"live": "v20180801", "vod": "v20180717"}
SERVICES = pathlib.Path(sys.argv[1])
OBJECTS = {
    product: json.loads((SERVICES / product / version / "api.json").read_text())["objects"]
    for product, version in VERSIONS.items()
}
# What may be set and, at the vendor's, never be read back.
OURS = {("CallBackTemplateInfo", "RecordStatusNotifyUrl")}
# Null at the vendor's, whatever its description says.
NULL = {
    ("MediaInfo", "MPSAiMediaInfo"),
    ("MediaInfo", "KnowledgeBasesInfo"),
    ("MediaInfo", "FaceRecognitionInfo"),
}
looked_at = 0


def scalar(kind, value):
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if kind in ("int64", "integer"):
        return is_number and -(2**63) <= value < 2**63
    if kind == "uint64":
        return is_number and 0 <= value < 2**64
    if kind in ("float", "double"):
        return is_number or isinstance(value, float)
    if kind == "bool":
        return isinstance(value, bool)
    return isinstance(value, str)


def check(objects, name, member, value, where):
    global looked_at
    looked_at += 1
    if value is None:
        if not member.get("value_allowed_null") and (name, member["name"]) not in NULL:
            yield f"{where}: null is not allowed"
        return
    kind = member["member"]
    if member["type"] == "list":
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
            return
        for index, entry in enumerate(value):
            yield from check_one(objects, kind, entry, f"{where}[{index}]")
        return
    yield from check_one(objects, kind, value, where)


def check_one(objects, kind, value, where):
    if kind in objects:
        yield from check_object(objects, kind, value, where)
    elif not scalar(kind, value):
        yield f"{where}: {value!r} is no {kind}"


def check_object(objects, name, value, where):
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    members = {member["name"]: member for member in objects[name]["members"]}
    for field in value:
        if field not in members and (name, field) not in OURS:
            yield f"{where}.{field}: the vendor has no such field"
    for field, member in members.items():
        if field in value:
            yield from check(objects, name, member, value[field], f"{where}.{field}")
        elif member.get("output_required", True):
            yield f"{where}.{field}: is missing"


unknown = []
for line in sys.stdin:
    told = json.loads(line)
    product, action = told["product"], told["action"]
    objects = OBJECTS[product]
    if action + "Response" not in objects:
        unknown.append(action)
        continue
    for problem in check_object(objects, action + "Response", told["answer"], action):
        print(problem)
print(f"looked at {looked_at} values; not described by the vendor: {sorted(set(unknown))}", file=sys.stderr)
