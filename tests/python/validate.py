"""Validates files against JSON Schemas.

    python validate.py < FILES

FILES is a JSON list of `{"name", "schema", "text"}`, where `schema` is the path of a schema and `text` is YAML. Printed is a
JSON object: the objections to each file by its name.
"""

import json
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator


class Keys(yaml.SafeLoader):
    """Keys are text, whatever YAML 1.1 takes them for (`on`, `1`)."""


def mapping(loader, node):
    loader.flatten_mapping(node)
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


Keys.add_constructor("tag:yaml.org,2002:map", mapping)

validators = {}
objections = {}
for file in json.load(sys.stdin):
    path = file["schema"]
    if path not in validators:
        schema = json.loads(Path(path).read_text())
        Draft202012Validator.check_schema(schema)
        validators[path] = Draft202012Validator(schema)
    document = yaml.load(file["text"], Loader=Keys)
    objections[file["name"]] = [error.message[:300] for error in validators[path].iter_errors(document)]
json.dump(objections, sys.stdout)
