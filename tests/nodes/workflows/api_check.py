"""Errors in workflows as they are sent to the server, and what the page would send."""

from .schemas import NOTE, active_inputs, value_error
from .ui_check import read_widgets


def find_api_errors(prompt, schemas):
    """Return what is wrong with a prompt, one line each."""
    return [
        f"{node_id} {node['class_type']}: {error}"
        for node_id, node in prompt.items()
        for error in _node_errors(node, prompt, schemas)
    ]


def as_prompt(workflow, schemas):
    """Return the prompt that the page makes of a workflow, without titles."""
    sources = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    return {
        str(node["id"]): {
            "class_type": node["type"],
            "inputs": _inputs(node, schemas[node["type"]], sources),
        }
        for node in workflow["nodes"]
        if node["type"] != NOTE
    }


def without_titles(prompt):
    """Return a prompt as the server reads it."""
    kept = ("class_type", "inputs")
    return {name: {key: node[key] for key in kept} for name, node in prompt.items()}


def _inputs(node, schema, sources):
    values = read_widgets(node, schema)
    known = dict(active_inputs(schema["inputs"], values))
    links = {each["name"]: sources[each["link"]] for each in node["inputs"] if each["link"]}
    return {name: value for name, value in values.items() if name in known} | links


def _node_errors(node, prompt, schemas):
    if unknown := set(node) - {"class_type", "inputs", "_meta"}:
        yield f"unknown keys {sorted(unknown)}"
    if node["class_type"] not in schemas:
        yield "unknown class"
        return
    inputs = node["inputs"]
    plain = {name: value for name, value in inputs.items() if isinstance(value, str)}
    known = dict(active_inputs(schemas[node["class_type"]]["inputs"], plain))
    if unknown := set(inputs) - set(known):
        yield f"unknown inputs {sorted(unknown)}"
    for name, each in known.items():
        if name not in inputs:
            if each["required"]:
                yield f"{name} is missing"
            continue
        value = inputs[name]
        is_link = isinstance(value, list)
        error = _link_error(each, value, prompt, schemas) if is_link else value_error(each, value)
        if error:
            yield f"{name} {error}"


def _link_error(each, link, prompt, schemas):
    name, slot = link
    source = schemas.get(prompt.get(name, {}).get("class_type"))
    if source is None or slot >= len(source["outputs"]):
        return f"comes from {link}, which is not there"
    kind = source["outputs"][slot]
    return "" if kind == each["type"] else f"is {each['type']} and gets {kind}"
