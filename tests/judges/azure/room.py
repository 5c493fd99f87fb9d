"""What the scripts of this judge share: the world they were given, and ways to expect a refusal.

The world is a JSON file, because it holds credentials. Whatever is checked is printed; a failed check ends the script.
"""

import base64
import json
import os
import sys
import time

import jwt
import requests
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientAssertionCredential, ClientSecretCredential
from azure.storage.blob import BlobServiceClient, ContentSettings
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

STORAGE = "https://storage.azure.com/.default"
MANAGEMENT = "https://management.azure.com/.default"
EXCHANGE = "api://AzureADTokenExchange"
SUBJECT = "contract-1"
KEY_ID = "room-key"


def load():
    with open(sys.argv[1], encoding="utf-8") as file:
        return json.load(file)


def check(what, actual, expected):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")
    print("ok", what)


def refused(what, kind, status, code, call):
    """The SDK raises exactly `kind`, for that status, and the service's own code is in it."""
    try:
        call()
    except HttpResponseError as error:
        if type(error) is not kind:
            raise AssertionError(f"{what}: {type(error).__name__}, expected {kind.__name__}") from error
        check(f"{what}: status", error.status_code, status)
        actual = getattr(error, "error_code", None) or error.error.code
        check(f"{what}: code", str(getattr(actual, "value", actual)), code)
        return error
    raise AssertionError(f"{what}: nothing was refused")


def identity_options(world):
    """An authority that no SDK knows by heart, under a root that no system trusts."""
    return {
        "authority": world["authority"],
        "disable_instance_discovery": True,
        "connection_verify": world["ca"],
        "retry_total": 0,
    }


def secret_credential(world, party):
    return ClientSecretCredential(
        party["tenant_id"], party["client_id"], party["client_secret"], **identity_options(world)
    )


def blob_service(world, party, credential):
    return BlobServiceClient(
        party["blob_url"], credential=credential, connection_verify=world["ca"], retry_total=0
    )


class Key:
    """What the SDK asks of a key: A256KW under 32 bytes."""

    def __init__(self, kid, key):
        self.kid, self.key = kid, key

    def wrap_key(self, key):
        return aes_key_wrap(self.key, key)

    def unwrap_key(self, key, algorithm):
        assert algorithm == "A256KW", algorithm
        return aes_key_unwrap(self.key, key)

    def get_kid(self):
        return self.kid

    def get_key_wrap_algorithm(self):
        return "A256KW"


class Stranger:
    """A living token of another tenant, given to whoever asks: the SDK's own credentials would not even try."""

    def __init__(self, credential):
        self.credential = credential

    def get_token(self, *scopes, **_):
        return self.credential.get_token(*scopes)


class Issuer:
    """An issuer of assertions: a key here, its documents on the static web site of a storage account."""

    def __init__(self, url):
        self.url = url
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def publish(self, service):
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        public.update(kid=KEY_ID, use="sig", alg="RS256")
        documents = {
            "oidc/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": self.url + "/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "oidc/jwks": {"keys": [public]},
        }
        container = service.get_container_client("$web")
        container.create_container()
        for path, document in documents.items():
            settings = ContentSettings(content_type="application/json")
            container.upload_blob(path, json.dumps(document).encode(), content_settings=settings)

    def assertion(self, key=None, algorithm="RS256", **changed):
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": SUBJECT,
            "aud": EXCHANGE,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
        }
        claims.update(changed)
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": KEY_ID})


def register(world, party, issuer):
    """The resource manager has no pinned SDK here; one PUT as its documents have it."""
    token = secret_credential(world, party).get_token(MANAGEMENT).token
    path = (
        "/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/room"
        "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
        f"{party['identity_name']}/federatedIdentityCredentials/contract"
    )
    answer = requests.put(
        world["arm_url"] + path,
        params={"api-version": "2023-01-31"},
        headers={"Authorization": "Bearer " + token},
        json={"properties": {"issuer": issuer.url, "subject": SUBJECT, "audiences": [EXCHANGE]}},
        verify=world["ca"],
        timeout=30,
    )
    check("the federated credential is registered", answer.status_code, 201)


def federated_credential(world, party, assertion):
    return ClientAssertionCredential(
        party["tenant_id"], party["identity_id"], assertion, **identity_options(world)
    )


def room_credential(world, party):
    """The managed identity as a clean room acts as it: only by assertion."""
    issuer = Issuer(party["web_url"] + "/oidc")
    issuer.publish(blob_service(world, party, secret_credential(world, party)))
    register(world, party, issuer)
    return federated_credential(world, party, issuer.assertion)


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def random_bytes(count):
    return os.urandom(count)
