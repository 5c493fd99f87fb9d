"""Reads a template's container group with the stock SDK's models and writes it again: what they do not know gets lost."""

import json
import sys

from azure.mgmt.containerinstance.models import ContainerGroup

# Of the template's language, not of the resource.
LANGUAGE = {"apiVersion"}


def differences(sent, read, path=""):
    if isinstance(sent, dict) and isinstance(read, dict):
        for name in sorted(sent.keys() | read.keys()):
            yield from differences(sent.get(name), read.get(name), f"{path}/{name}")
    elif isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        for index, pair in enumerate(zip(sent, read)):
            yield from differences(*pair, f"{path}/{index}")
    elif sent != read or type(sent) is not type(read):
        yield f"{path}: {sent!r} was read as {read!r}"


with open(sys.argv[1], encoding="utf-8") as file:
    [resource] = json.load(file)["resources"]
sent = {name: value for name, value in resource.items() if name not in LANGUAGE}
model = ContainerGroup.deserialize(sent)
found = list(differences(sent, model.serialize(keep_readonly=True)))
print("\n".join(found))
sys.exit(1 if found else 0)
