"""The key that releases are wrapped for, and the runtime data that its evidence binds; both written beside argv[1]."""

import json
import os
import sys

import room
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = private.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
numbers = private.public_key().public_numbers()
runtime = {
    "keys": [
        {
            "kty": "RSA",
            "kid": "TransferKey",
            "key_ops": ["encrypt"],
            "n": room.encode(numbers.n.to_bytes(256, "big")),
            "e": room.encode(b"\x01\x00\x01"),
        }
    ]
}
for name, data in [("transfer.pem", pem), ("runtime.json", json.dumps(runtime).encode())]:
    with open(os.path.join(sys.argv[1], name), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(data)
print("done")
