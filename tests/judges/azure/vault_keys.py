"""azure-keyvault-keys: import under a release policy, release for attested code, and no release for other code."""

import base64
import json
from datetime import datetime, timezone

import jwt
import requests
import room
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.keyvault.keys import (
    JsonWebKey,
    KeyClient,
    KeyExportEncryptionAlgorithm,
    KeyReleasePolicy,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

WORLD = room.load()
LITWARE, FABRIKAM = WORLD["litware"], WORLD["fabrikam"]
with open(WORLD["transfer_pem"], "rb") as pem:
    TRANSFER = serialization.load_pem_private_key(pem.read(), None)
with open(WORLD["ca"], "rb") as pem:
    ROOT = x509.load_pem_x509_certificate(pem.read())


def client_of(party, credential):
    return KeyClient(
        party["vault_url"], credential, verify_challenge_resource=False, connection_verify=WORLD["ca"], retry_total=0
    )


def attest(evidence):
    """One call of the attestation service, whose SDK does not know this evidence; its token is verified here as well."""
    inner = {
        "SnpReport": room.encode(bytes.fromhex(evidence["report"])),
        "VcekCertChain": room.encode(WORLD["chain"].encode()),
        "Endorsements": room.encode(json.dumps({"Uvm": [room.encode(bytes.fromhex(WORLD["uvm"]))]}).encode()),
    }
    body = {
        "report": room.encode(json.dumps(inner).encode()),
        "runtimeData": {"data": room.encode(WORLD["runtime"].encode()), "dataType": "JSON"},
    }
    answer = requests.post(
        WORLD["maa_url"] + "/attest/SevSnpVm", params={"api-version": "2022-08-01"}, json=body, verify=WORLD["ca"], timeout=30
    )
    room.check("the evidence is good", answer.status_code, 200)
    token = answer.json()["token"]
    certs = requests.get(WORLD["maa_url"] + "/certs", verify=WORLD["ca"], timeout=30).json()
    # The service publishes certificates and no numbers.
    (entry,) = [one for one in certs["keys"] if one["kid"] == jwt.get_unverified_header(token)["kid"]]
    certificate = x509.load_der_x509_certificate(base64.b64decode(entry["x5c"][0]))
    claims = jwt.decode(token, certificate.public_key(), algorithms=["RS256"], issuer=WORLD["maa_url"])
    room.check("the token names the policy's hash", claims["x-ms-sevsnpvm-hostdata"], evidence["host_data"])
    return token


def policy_for(host_data):
    rules = {
        "version": "1.0.0",
        "anyOf": [
            {
                "authority": WORLD["maa_url"],
                "allOf": [
                    {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
                    {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
                    {"claim": "x-ms-sevsnpvm-hostdata", "equals": host_data},
                ],
            }
        ],
    }
    return rules, KeyReleasePolicy(json.dumps(rules).encode())


def unwrap(result, digest, kid, enc):
    """The material in a release, after its signature and the chain of its certificate were verified."""
    room.check("a release is a JWS", len(result.value.split(".")), 3)
    header = jwt.get_unverified_header(result.value)
    chain = [x509.load_der_x509_certificate(base64.b64decode(one)) for one in header["x5c"]]
    verifier = (
        x509.verification.PolicyBuilder()
        .store(x509.verification.Store([ROOT]))
        .time(datetime.now(timezone.utc))
        .build_server_verifier(x509.DNSName(kid.split("/")[2].split(":")[0]))
    )
    verifier.verify(chain[0], chain[1:])
    payload = jwt.decode(result.value, chain[0].public_key(), algorithms=["RS256"])
    key = payload["response"]["key"]["key"]
    room.check("the release names the key", (key["kid"], payload["request"]["kid"]), (kid, kid))
    wrapped = json.loads(room.decode(key["key_hsm"]))
    room.check("the release names the wrapping", (wrapped["header"]["enc"], payload["request"]["enc"]), (enc, enc))
    ciphertext = room.decode(wrapped["ciphertext"])
    oaep = padding.OAEP(padding.MGF1(digest), digest, None)
    return payload, keywrap.aes_key_unwrap_with_padding(TRANSFER.decrypt(ciphertext[:256], oaep), ciphertext[256:])


def exercise(party, name, imported, wraps, same):
    """One vault: import, read, release in every wrapping, and every refusal beside its passing twin."""
    owner = client_of(party, room.secret_credential(WORLD, party))
    clean_room = client_of(party, room.room_credential(WORLD, party))
    other_party = FABRIKAM if party is LITWARE else LITWARE
    stranger = client_of(party, room.Stranger(room.secret_credential(WORLD, other_party)))
    rules, policy = policy_for(WORLD["good"]["host_data"])

    key = owner.import_key(name, imported, hardware_protected=True, exportable=True, release_policy=policy, tags={"of": name})
    room.check("the key's name and kind", (key.name, str(getattr(key.key_type, "value", key.key_type))), (name, imported.kty))
    room.check("the key is exportable", key.properties.exportable, True)
    room.check("the identifier", key.id, f"{party['vault_url']}/keys/{name}/{key.properties.version}")
    read = owner.get_key(name)
    room.check("the current version", read.properties.version, key.properties.version)
    room.check("the tags", read.properties.tags, {"of": name})
    room.check("the policy as read", json.loads(read.properties.release_policy.encoded_policy), rules)
    room.check("the public half only", [getattr(read.key, part) for part in ("d", "p", "q", "k")], [None] * 4)
    room.check("the modulus", read.key.n, imported.n)
    room.check("the version by name", owner.get_key(name, key.properties.version).id, key.id)
    room.check("the room reads", clean_room.get_key(name).id, key.id)
    room.refused("no such key", ResourceNotFoundError, 404, "KeyNotFound", lambda: owner.get_key("absent"))

    good, other = attest(WORLD["good"]), attest(WORLD["other"])
    for enc, digest in wraps:
        named = {"algorithm": enc} if enc else {}
        shown = (enc or KeyExportEncryptionAlgorithm.ckm_rsa_aes_key_wrap).value
        result = clean_room.release_key(name, good, version=key.properties.version, nonce="once", **named)
        payload, material = unwrap(result, digest, key.id, shown)
        room.check("the nonce comes back", payload["request"]["nonce"], "once")
        room.check(f"the material by {shown}", same(material), True)
    # The SDK sends an empty version: the path has two slashes.
    payload, material = unwrap(clean_room.release_key(name, good), hashes.SHA1(), key.id, "CKM_RSA_AES_KEY_WRAP")
    room.check("the current version is released", (same(material), "nonce" in payload["request"]), (True, False))

    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = jwt.decode(good, options={"verify_signature": False})
    forged = jwt.encode(claims, forger, algorithm="RS256", headers={"kid": jwt.get_unverified_header(good)["kid"]})
    for what, inner, client, token in [
        ("other code", "ForbiddenByReleasePolicy", clean_room, other),
        ("a forged token", "ForbiddenByAttestation", clean_room, forged),
        ("the owner", "ForbiddenByRbac", owner, good),
        ("a stranger", "ForbiddenByRbac", stranger, good),
    ]:
        error = room.refused(f"a release for {what}", HttpResponseError, 403, "Forbidden", lambda: client.release_key(name, token))
        room.check(f"why not for {what}", error.error.innererror["code"], inner)
    room.refused("a wrapping that is none", HttpResponseError, 400, "BadParameter", lambda: clean_room.release_key(name, good, algorithm="none"))
    room.refused("a stranger reads", HttpResponseError, 403, "Forbidden", lambda: stranger.get_key(name))
    room.refused("a stranger imports", HttpResponseError, 403, "Forbidden",
                 lambda: stranger.import_key(name, imported, hardware_protected=True, exportable=True, release_policy=policy))
    room.refused("exportable without a policy", HttpResponseError, 400, "BadParameter",
                 lambda: owner.import_key("loose", imported, hardware_protected=True, exportable=True))

    # A new version under another policy: the same evidence opens the old one and not the new one.
    newer = owner.import_key(name, imported, hardware_protected=True, exportable=True, release_policy=policy_for(WORLD["other"]["host_data"])[1])
    room.refused("the newer version", HttpResponseError, 403, "Forbidden", lambda: clean_room.release_key(name, good))
    room.check("evidence for the newer version", len(clean_room.release_key(name, other).value.split(".")), 3)
    unwrap(clean_room.release_key(name, good, version=key.properties.version), hashes.SHA1(), key.id, "CKM_RSA_AES_KEY_WRAP")
    versions = {one.version for one in owner.list_properties_of_key_versions(name)}
    room.check("listed versions", versions, {key.properties.version, newer.properties.version})
    room.check("listed keys", [one.name for one in owner.list_properties_of_keys()], [name])
    room.refused("a stranger lists", HttpResponseError, 403, "Forbidden", lambda: list(stranger.list_properties_of_keys()))


def rsa_key():
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = private.private_numbers()

    def data(number):
        return number.to_bytes((number.bit_length() + 7) // 8, "big")

    imported = JsonWebKey(
        kty="RSA-HSM", key_ops=["encrypt", "decrypt"],
        n=data(numbers.public_numbers.n), e=data(numbers.public_numbers.e), d=data(numbers.d), p=data(numbers.p), q=data(numbers.q),
        dp=data(numbers.dmp1), dq=data(numbers.dmq1), qi=data(numbers.iqmp),
    )
    return imported, lambda der: serialization.load_der_private_key(der, None).private_numbers() == numbers


ALGORITHMS = KeyExportEncryptionAlgorithm
WRAPS = [
    (None, hashes.SHA1()),
    (ALGORITHMS.ckm_rsa_aes_key_wrap, hashes.SHA1()),
    (ALGORITHMS.rsa_aes_key_wrap_256, hashes.SHA256()),
    (ALGORITHMS.rsa_aes_key_wrap_384, hashes.SHA384()),
]
imported, same = rsa_key()
exercise(LITWARE, "kek", imported, WRAPS, same)
symmetric = room.random_bytes(32)
exercise(
    FABRIKAM, "kek", JsonWebKey(kty="oct-HSM", key_ops=["wrapKey", "unwrapKey"], k=symmetric), WRAPS, lambda data: data == symmetric
)
print("done")
