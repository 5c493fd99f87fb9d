"""azure-identity: a client secret, and an assertion that the token service truly verifies."""

import json
import os
import tempfile

import jwt
import requests
import room
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, WorkloadIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa

WORLD = room.load()
LITWARE, FABRIKAM = WORLD["litware"], WORLD["fabrikam"]


def claims_of(token, tenant, audience):
    """Verified by PyJWT with the keys that the authority publishes, not by anything of ours."""
    base = f"{WORLD['authority']}/{tenant}"
    discovery = requests.get(
        base + "/v2.0/.well-known/openid-configuration", verify=WORLD["ca"], timeout=30
    ).json()
    keys = requests.get(discovery["jwks_uri"], verify=WORLD["ca"], timeout=30).json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token, key, algorithms=["RS256"], audience=audience, issuer=discovery["issuer"]
    )


def refused(what, number, credential, scope=room.STORAGE):
    try:
        credential.get_token(scope)
    except ClientAuthenticationError as error:
        room.check(f"{what} is refused by AADSTS{number}", f"AADSTS{number}:" in error.message, True)
        return
    raise AssertionError(f"{what}: nothing was refused")


def secrets():
    credential = room.secret_credential(WORLD, LITWARE)
    token = credential.get_token_info(room.STORAGE)
    claims = claims_of(token.token, LITWARE["tenant_id"], "https://storage.azure.com")
    room.check("the token names the tenant", claims["tid"], LITWARE["tenant_id"])
    room.check("the token names the client", claims["appid"], LITWARE["client_id"])
    room.check("the token lives as long as the answer said", abs(claims["exp"] - token.expires_on) <= 2, True)
    again = credential.get_token(room.STORAGE)
    room.check("the SDK serves a living token from its cache", again.token, token.token)
    other = credential.get_token("https://vault.azure.net/.default")
    claims_of(other.token, LITWARE["tenant_id"], "https://vault.azure.net")
    refused("an unknown resource", 500011, credential, "https://unknown.example/.default")

    def with_changed(tenant=LITWARE["tenant_id"], client=LITWARE["client_id"]):
        return ClientSecretCredential(
            tenant, client, LITWARE["client_secret"], **room.identity_options(WORLD)
        )

    with_changed().get_token(room.STORAGE)
    wrong = ClientSecretCredential(
        LITWARE["tenant_id"], LITWARE["client_id"], "another", **room.identity_options(WORLD)
    )
    refused("a wrong secret", 7000215, wrong)
    refused("a client of another tenant", 700016, with_changed(client=FABRIKAM["client_id"]))


def assertions():
    issuer = room.Issuer(LITWARE["web_url"] + "/oidc")

    def login(assertion, party=LITWARE):
        return room.federated_credential(WORLD, party, lambda: assertion)

    refused("an assertion before anything is registered", 70021, login(issuer.assertion()))
    room.register(WORLD, LITWARE, issuer)
    refused("an assertion of an issuer that publishes nothing", 50166, login(issuer.assertion()))
    owner = room.blob_service(WORLD, LITWARE, room.secret_credential(WORLD, LITWARE))
    issuer.publish(owner)

    token = login(issuer.assertion()).get_token(room.STORAGE).token
    claims = claims_of(token, LITWARE["tenant_id"], "https://storage.azure.com")
    room.check("the token names the identity", claims["appid"], LITWARE["identity_id"])
    listed = room.blob_service(WORLD, LITWARE, login(issuer.assertion())).list_containers()
    room.check("storage takes it", [one.name for one in listed], ["$web"])

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for what, number, assertion in [
        ("another subject", 700213, issuer.assertion(sub="contract-2")),
        ("another audience", 700212, issuer.assertion(aud="https://storage.azure.com")),
        ("another issuer", 700211, issuer.assertion(iss=issuer.url + "/")),
        ("an expired assertion", 700024, issuer.assertion(iat=1, nbf=1, exp=2)),
        ("an assertion from the future", 700024, issuer.assertion(nbf=4102444800)),
        ("another key under the same name", 700027, issuer.assertion(key=stranger)),
    ]:
        refused(what, number, login(assertion))
    refused("the identity of another tenant", 70021, login(issuer.assertion(), FABRIKAM))
    login(issuer.assertion()).get_token(room.STORAGE)
    return issuer


def workload(issuer):
    """The credential that reads its assertion from a file, as the sidecar that projects it."""
    with tempfile.TemporaryDirectory() as home:
        path = os.path.join(home, "assertion")

        def login(assertion):
            with open(path, "w", encoding="utf-8") as file:
                file.write(assertion)
            return WorkloadIdentityCredential(
                tenant_id=LITWARE["tenant_id"],
                client_id=LITWARE["identity_id"],
                token_file_path=path,
                **room.identity_options(WORLD),
            )

        token = login(issuer.assertion()).get_token("https://vault.azure.net/.default").token
        claims = claims_of(token, LITWARE["tenant_id"], "https://vault.azure.net")
        room.check("a workload is the same identity", claims["appid"], LITWARE["identity_id"])
        refused("a workload of another subject", 700213, login(issuer.assertion(sub="contract-2")))


secrets()
workload(assertions())
print("done")
