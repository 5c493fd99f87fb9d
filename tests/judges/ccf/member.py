"""A member of a CCF network who has nothing but the ccf package, Python's own HTTP client and a pinned service.

    member.py ENDPOINT SERVICE_CERT

Reads one JSON object per line and prints one answer per line. {"get": path} reads, {"path", "file"} posts a message that was
signed before. Otherwise a message is signed and posted:
path, type, content, cert, key, proposal_id?, created_at?; "offline" signs a prepared digest as a key vault does; "change"
("payload", "signature" or "header") flips one bit afterwards; {"again": true} posts the last message that was not changed.
"""

import base64
import json
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

ENDPOINT, SERVICE_CERT = sys.argv[1:3]
CONTEXT = ssl.create_default_context(cafile=SERVICE_CERT)
OPENER = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=CONTEXT)
)


def tool(name, words):
    words = [Path(sys.executable).with_name(name), *words]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, timeout=60).stdout


def vault_signature(key_file, prepared):
    """What a key vault answers: r and s over a digest that somebody else computed."""
    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    digest = base64.b64decode(prepared["value"])
    der = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA384())))
    r, s = utils.decode_dss_signature(der)
    return base64.urlsafe_b64encode(r.to_bytes(48, "big") + s.to_bytes(48, "big")).decode()


def sign(asked):
    created_at = datetime.fromtimestamp(asked.get("created_at", int(time.time())), timezone.utc)
    with tempfile.TemporaryDirectory() as folder:
        content = Path(folder, "content")
        content.write_text(asked["content"])
        words = [
            "--content", content,
            "--signing-cert", asked["cert"],
            "--ccf-gov-msg-type", asked["type"],
            "--ccf-gov-msg-created-at", created_at.isoformat(),
        ]
        if "proposal_id" in asked:
            words += ["--ccf-gov-msg-proposal-id", asked["proposal_id"]]
        if not asked.get("offline"):
            return tool("ccf_cose_sign1", [*words, "--signing-key", asked["key"]])
        prepared = json.loads(tool("ccf_cose_sign1_prepare", words))
        signature = Path(folder, "signature.json")
        signature.write_text(json.dumps({"value": vault_signature(asked["key"], prepared)}))
        return tool("ccf_cose_sign1_finish", [*words, "--signature", signature])


def changed(message, what):
    items = list(cbor2.loads(message).value)
    at = {"header": 0, "payload": 2, "signature": 3}[what]
    if what == "header":
        # The last bit of the time: a message of the same kind, from the same member, one second off.
        header = cbor2.loads(items[0])
        header["ccf.gov.msg.created_at"] ^= 1
        items[0] = cbor2.dumps(header)
    else:
        items[at] = bytes([items[at][0] ^ 1]) + items[at][1:]
    flipped = cbor2.dumps(cbor2.CBORTag(18, items))
    differing = sum(bin(a ^ b).count("1") for a, b in zip(message, flipped))
    assert len(flipped) == len(message) and differing == 1, "one bit, no more"
    return flipped


def send(path, message=None):
    request = urllib.request.Request(f"{ENDPOINT}{path}?api-version=2024-07-01", data=message)
    if message is not None:
        request.add_header("content-type", "application/cose")
    try:
        answer = OPENER.open(request, timeout=30)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        body = answer.read()
        return {
            "status": answer.status,
            "body": json.loads(body) if body else None,
            "www_authenticate": answer.headers.get("www-authenticate"),
            "transaction": answer.headers.get("x-ms-ccf-transaction-id"),
        }


last = None
for line in sys.stdin:
    asked = json.loads(line)
    if "get" in asked:
        said = send(asked["get"])
    elif "file" in asked:
        said = send(asked["path"], Path(asked["file"]).read_bytes())
    elif asked.get("again"):
        said = send(*last)
    else:
        message = sign(asked)
        if "change" in asked:
            said = send(asked["path"], changed(message, asked["change"]))
        else:
            last = (asked["path"], message)
            said = send(*last)
    print(json.dumps(said), flush=True)
