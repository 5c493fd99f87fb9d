"""Judges signed governance messages with the tools that members of a real CCF sign with.

    messages.py CERT MESSAGE...    prints one verdict per message, a list in JSON
"""

import base64
import json
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import cbor2
from ccf import cose
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509 import load_pem_x509_certificate
from pycose.exceptions import CoseException
from pycose.messages import Sign1Message

TYPE = "ccf.gov.msg.type"
CREATED_AT = "ccf.gov.msg.created_at"
PROPOSAL_ID = "ccf.gov.msg.proposal_id"
ALG, KID = 1, 4


class Refused(Exception):
    pass


def demand(condition, reason):
    if not condition:
        raise Refused(reason)


def parse(message):
    """Tag, protected header as bytes and as a map, payload, signature; nothing that CBOR leaves open is tolerated."""
    try:
        tagged = cbor2.loads(message)
    except Exception as error:
        raise Refused(f"no CBOR: {type(error).__name__}") from error
    demand(isinstance(tagged, cbor2.CBORTag) and tagged.tag == 18, "not tagged as COSE_Sign1")
    demand(isinstance(tagged.value, (list, tuple)) and len(tagged.value) == 4, "not four items")
    protected, unprotected, payload, signature = tagged.value
    demand(unprotected == {}, "an unprotected header")
    demand(all(type(item) is bytes for item in (protected, payload, signature)), "an item is no byte string")
    # Longer lengths than needed, indefinite lengths and bytes after the end do not survive this.
    again = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]))
    demand(again == message, "not in the shortest encoding")
    try:
        header = cbor2.loads(protected)
    except Exception as error:
        raise Refused(f"the protected header is no CBOR: {type(error).__name__}") from error
    demand(type(header) is dict, "the protected header is no map")
    demand(cbor2.dumps(header) == protected, "the protected header is not in the shortest encoding")
    return protected, header, payload, signature


def check_header(header, certificate):
    kind = header.get(TYPE)
    demand(kind in cose.GOV_MSG_TYPES, f"{TYPE} is {kind!r}")
    names = {ALG, KID, TYPE, CREATED_AT}
    if kind in cose.GOV_MSG_TYPES_WITH_PROPOSAL_ID:
        names.add(PROPOSAL_ID)
        demand(type(header.get(PROPOSAL_ID)) is str, f"{PROPOSAL_ID} is no text")
    demand(set(header) == names, f"headers {sorted(map(str, header))}")
    demand(header[ALG] == -35, f"alg is {header[ALG]!r}")
    demand(header[KID] == cose.cert_fingerprint(certificate), "kid is not that of the certificate")
    demand(type(header[CREATED_AT]) is int and header[CREATED_AT] >= 0, f"{CREATED_AT} is no unsigned integer")


def tool(header, certificate_file, payload, signature):
    """The message that the command line tool makes of the same inputs and this signature."""
    with tempfile.TemporaryDirectory() as folder:
        content, signed = Path(folder, "content"), Path(folder, "signature.json")
        content.write_bytes(payload)
        value = base64.urlsafe_b64encode(signature).decode()
        signed.write_text(json.dumps({"value": value}))
        created_at = datetime.fromtimestamp(header[CREATED_AT], timezone.utc)
        words = [
            Path(sys.executable).with_name("ccf_cose_sign1_finish"),
            "--content", content,
            "--signing-cert", certificate_file,
            "--signature", signed,
            "--ccf-gov-msg-type", header[TYPE],
            "--ccf-gov-msg-created-at", created_at.isoformat(),
        ]
        if PROPOSAL_ID in header:
            words += ["--ccf-gov-msg-proposal-id", header[PROPOSAL_ID]]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=60).stdout


def judge(certificate_file, message):
    certificate = Path(certificate_file).read_text()
    protected, header, payload, signature = parse(message)
    check_header(header, certificate)
    public = load_pem_x509_certificate(certificate.encode()).public_key()

    # First opinion: ccf's own verification, which is pycose with pure Python curves.
    try:
        cose.validate_cose_sign1(public, message)
    except (ValueError, CoseException) as error:
        raise Refused(f"ccf: {error}") from error

    # Second opinion: OpenSSL, over the digest that ccf hands to a key vault for these inputs.
    said = {name: header[name] for name in header if name not in (ALG, KID)}
    prepared = cose.create_cose_sign1_prepare(payload, certificate, said)
    digest = base64.b64decode(prepared["value"])
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    try:
        algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA384()))
        public.verify(utils.encode_dss_signature(r, s), digest, algorithm)
    except InvalidSignature as error:
        raise Refused("OpenSSL: the signature is invalid") from error

    value = base64.urlsafe_b64encode(signature).decode()
    finished = cose.create_cose_sign1_finish(payload, certificate, value, said)
    by_tool = tool(header, certificate_file, payload, signature)
    _, tool_header, tool_payload, tool_signature = parse(by_tool)
    return {
        "type": header[TYPE],
        "created_at": header[CREATED_AT],
        "proposal_id": header.get(PROPOSAL_ID),
        "alg": header[ALG],
        "prepared_alg": prepared["alg"],
        "kid": header[KID].decode("ascii"),
        "payload": payload.decode(),
        "signature_bytes": len(signature),
        "decoded_by_pycose": type(Sign1Message.decode(message)).__name__,
        "canonical": cbor2.dumps(header, canonical=True) == protected,
        "library_makes_the_same_bytes": finished == message,
        "tool_makes_the_same_bytes": by_tool == message,
        "tool_says_the_same": (tool_header, tool_payload, tool_signature) == (header, payload, signature),
    }


def verdict(certificate_file, path):
    try:
        return judge(certificate_file, Path(path).read_bytes())
    except Refused as refused:
        return {"refused": str(refused)}


if __name__ == "__main__":
    print(json.dumps([verdict(sys.argv[1], path) for path in sys.argv[2:]]))
