#!/usr/bin/env python3
"""Rewrites kubernetes-<version>.json.gz from the schemas published in the PyPI package `kubernetes-validate`.

    python3 -m pip download --no-deps kubernetes-validate && unzip kubernetes_validate-*.whl
    core/schema/refresh.py kubernetes_validate/kubernetes-json-schema/v1.35.0-local/_definitions.json 1.35

The package holds the definitions of Kubernetes' OpenAPI document as JSON Schema. This script turns them back into the form
OpenAPI 3.0 documents use, because that is what the server publishes, and adds the few defaults that list keys need and the
source leaves out. The output is stable: the same input gives the same bytes.
"""

import gzip
import json
import pathlib
import sys

# Upstream's OpenAPI v3 declares these; the JSON Schemas lost them. A port's key is (containerPort, protocol), so that an
# absent protocol must read as TCP when lists are merged.
DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}
WRITTEN_OTHERWISE = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def plain_type(declared):
    """`["string", "null"]` marks an optional field in the source; OpenAPI says that with `required`."""
    return next(name for name in declared if name != "null") if isinstance(declared, list) else declared


def converted(schema):
    out = {}
    for key, value in schema.items():
        if key == "type":
            out["type"] = plain_type(value)
        elif key == "properties":
            out["properties"] = {name: converted(field) for name, field in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = converted(value)
        elif key == "$ref":
            out["$ref"] = value.replace("#/$defs/", "#/components/schemas/")
        elif key != "enum":  # the source pins apiVersion and kind; OpenAPI does not
            out[key] = value
    if "$ref" in out and len(out) > 1:  # siblings of `$ref` are ignored by readers of OpenAPI 3.0
        out["allOf"] = [{"$ref": out.pop("$ref")}]
    return out


def main(source, version):
    definitions = json.loads(pathlib.Path(source).read_text())["$defs"]
    out = {}
    for name, schema in definitions.items():
        out[name] = converted(schema)
        if name in WRITTEN_OTHERWISE:
            out[name] = {"description": schema.get("description", ""), **WRITTEN_OTHERWISE[name]}
    for (name, field), default in DEFAULTS.items():
        out[name]["properties"][field]["default"] = default
    text = json.dumps(out, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    target = pathlib.Path(__file__).parent / f"kubernetes-{version}.json.gz"
    target.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{len(out)} definitions, {len(text)} bytes, {target.stat().st_size} compressed")


if __name__ == "__main__":
    main(*sys.argv[1:])
