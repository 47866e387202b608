"""Errors in workflows as the page saves them."""

from .schemas import (
    CONTROL,
    CONTROLS,
    NOTE,
    WIDGETS,
    active_inputs,
    value_error,
)

WORKFLOW_KEYS = {
    "revision", "last_node_id", "last_link_id", "nodes", "links", "groups", "config", "extra",
    "version",
}  # fmt: skip
NODE_KEYS = {
    "id", "type", "pos", "size", "flags", "order", "mode", "inputs", "outputs", "title",
    "properties", "widgets_values", "widgets_values_named", "color", "bgcolor",
}  # fmt: skip
PROPERTIES = {"Node name for S&R", "cnr_id", "ver", "models"}


def find_ui_errors(workflow, schemas):
    """Return what is wrong with a workflow, one line each."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    return [
        *_key_errors(workflow, nodes),
        *_link_errors(workflow, nodes),
        *(
            f"{node['id']} {node['type']}: {error}"
            for node in nodes.values()
            for error in find_node_errors(node, schemas)
        ),
    ]


def read_widgets(node, schema):
    """Return a node's values by name, read by position as the page reads them.

    Raises:
        ValueError: If there are too many or too few.
    """
    values = iter(node.get("widgets_values", []))
    try:
        found = _take(schema["inputs"], values, "")
    except StopIteration:
        raise ValueError("too few widget values") from None
    if left := list(values):
        raise ValueError(f"too many widget values: {left}")
    return found


def _take(inputs, values, prefix):
    found = {}
    for each in inputs:
        if each["type"] in WIDGETS:
            name = prefix + each["name"]
            found[name] = next(values)
            found |= _take(each.get("choices", {}).get(found[name], []), values, f"{name}.")
            found |= {extra: next(values) for extra in each.get("extra", [])}
    return found


def _key_errors(workflow, nodes):
    if unknown := set(workflow) - WORKFLOW_KEYS:
        yield f"unknown keys {sorted(unknown)}"
    if workflow["extra"]:
        yield f"extra is not empty: {sorted(workflow['extra'])}"
    if len(nodes) != len(workflow["nodes"]) or max(nodes) > workflow["last_node_id"]:
        yield "node ids are not unique, or last_node_id is too low"


def _link_errors(workflow, nodes):
    links = {link[0]: link for link in workflow["links"]}
    if len(links) != len(workflow["links"]) or max(links) > workflow["last_link_id"]:
        yield "link ids are not unique, or last_link_id is too low"
    sources = {
        link: (node["id"], slot, output["type"])
        for node in nodes.values()
        for slot, output in enumerate(node["outputs"])
        for link in output["links"] or []
    }
    targets = {
        each["link"]: (node["id"], slot, each["type"])
        for node in nodes.values()
        for slot, each in enumerate(node["inputs"])
        if each["link"] is not None
    }
    for link in sorted({*links, *sources, *targets}):
        ends = [*sources.get(link, ())[:2], *targets.get(link, ())]
        if links.get(link, [])[1:] != ends or sources[link][2] != targets[link][2]:
            yield f"link {link}: {links.get(link)}, but its ends say {ends}"


def find_node_errors(node, schemas):
    """Return what is wrong with a node of a workflow or a blueprint, one line each."""
    if unknown := {*node} - NODE_KEYS | {*node["properties"]} - PROPERTIES:
        yield f"unknown keys {sorted(unknown)}"
    if node["type"] == NOTE:
        return
    if node["type"] not in schemas:
        yield "unknown class"
        return
    schema = schemas[node["type"]]
    try:
        values = read_widgets(node, schema)
    except ValueError as error:
        yield str(error)
        return
    known = dict(active_inputs(schema["inputs"], values))
    yield from _value_errors(node, values, known)
    yield from _slot_errors(node, schema, known)


def _value_errors(node, values, known):
    named = node.get("widgets_values_named", {})
    if {name: values.get(name) for name in named} != named:
        yield f"values by position and by name differ: {values} and {named}"
    for name, value in values.items():
        error = value_error(known[name], value) if name in known else ""
        if name == CONTROL and value not in CONTROLS:
            error = f"{value!r} is not among {CONTROLS}"
        if error:
            yield f"{name} {error}"


def _slot_errors(node, schema, known):
    slots = {each["name"]: each for each in node["inputs"]}
    extra = {name for each in known.values() for name in each.get("extra", [])}
    if unknown := set(slots) - set(known) - extra:
        yield f"unknown inputs {sorted(unknown)}"
    for name, each in known.items():
        slot = slots.get(name)
        if slot is None:
            yield f"{name} is missing"
        elif slot["type"] != each["type"]:
            yield f"{name} has type {slot['type']}, not {each['type']}"
        elif each["required"] and each["type"] not in WIDGETS and slot["link"] is None:
            yield f"{name} is not connected"
    outputs = [output["type"] for output in node["outputs"]]
    if outputs != schema["outputs"]:
        yield f"outputs {outputs}, not {schema['outputs']}"
