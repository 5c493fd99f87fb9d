"""azure-keyvault-secrets: values, versions, and who may see them."""

import room
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient

WORLD = room.load()
LITWARE, FABRIKAM = WORLD["litware"], WORLD["fabrikam"]


def client_of(credential):
    # The SDK compares the challenge with host and port, and Azure's own vaults have no port: it cannot be asked to here.
    return SecretClient(
        LITWARE["vault_url"], credential, verify_challenge_resource=False, connection_verify=WORLD["ca"], retry_total=0
    )


owner = client_of(room.secret_credential(WORLD, LITWARE))
first = owner.set_secret("dek", "wrapped key one", content_type="application/x-wrapped", tags={"party": "litware"})
room.check("the answer has the value", (first.name, first.value), ("dek", "wrapped key one"))
room.check("the identifier", first.id, f"{LITWARE['vault_url']}/secrets/dek/{first.properties.version}")
second = owner.set_secret("dek", "wrapped key two")
room.check("versions differ", first.properties.version != second.properties.version, True)
current = owner.get_secret("dek")
room.check("the current version", (current.value, current.properties.version), ("wrapped key two", second.properties.version))
older = owner.get_secret("dek", first.properties.version)
room.check("the first version", (older.value, older.properties.content_type), ("wrapped key one", "application/x-wrapped"))
room.check("made now and usable", (older.properties.enabled, older.properties.created_on is not None), (True, True))

room.refused("no such secret", ResourceNotFoundError, 404, "SecretNotFound", lambda: owner.get_secret("absent"))
room.refused(
    "no such version", ResourceNotFoundError, 404, "SecretNotFound", lambda: owner.get_secret("dek", "0" * 32)
)
largest = owner.set_secret("largest", "v" * 25_000)
room.check("the largest value", len(owner.get_secret("largest").value), 25_000)
room.refused("a larger value", HttpResponseError, 400, "BadParameter", lambda: owner.set_secret("large", "v" * 25_001))

versions = {one.version: one for one in owner.list_properties_of_secret_versions("dek")}
room.check("listed versions", set(versions), {first.properties.version, second.properties.version})
room.check("a listed version", (versions[first.properties.version].content_type, versions[first.properties.version].tags), ("application/x-wrapped", {"party": "litware"}))
room.check("listed secrets", sorted(one.name for one in owner.list_properties_of_secrets()), ["dek", "largest"])
for number in range(30):
    owner.set_secret(f"many-{number:02}", str(number))
many = [one.name for one in owner.list_properties_of_secrets() if one.name.startswith("many-")]
room.check("listed over pages", many, [f"many-{number:02}" for number in range(30)])

clean_room = client_of(room.room_credential(WORLD, LITWARE))
room.check("the room reads", clean_room.get_secret("dek").value, "wrapped key two")
stranger = client_of(room.Stranger(room.secret_credential(WORLD, FABRIKAM)))
for what, call in [
    ("a stranger reads", lambda: stranger.get_secret("dek")),
    ("a stranger lists", lambda: list(stranger.list_properties_of_secrets())),
    ("a stranger writes", lambda: stranger.set_secret("dek", "x")),
]:
    room.refused(what, HttpResponseError, 403, "Forbidden", call)
room.check("nothing was written", owner.get_secret("dek").value, "wrapped key two")
print("done")
