"""Files of upstream's client-side format, from its byte layout alone and with no code of ours.

    chunk := nonce(12) || AES-256-GCM(block) || tag(16)        file := chunk* || number of padding bytes(8, big-endian)

The argument is a JSON file: a key, a block size in bytes, files to encrypt and files to decrypt, as pairs of paths.
"""

import json
import os
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

with open(sys.argv[1], encoding="utf-8") as description:
    HERE = json.load(description)
GCM = AESGCM(bytes.fromhex(HERE["dek"]))
BLOCK = HERE["block"]

for clear, sealed in HERE["encrypt"]:
    content, file, padding = Path(clear).read_bytes(), b"", 0
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        padding = BLOCK - len(block)
        nonce = os.urandom(12)
        file += nonce + GCM.encrypt(nonce, block + bytes(padding), None)
    Path(sealed).write_bytes(file + struct.pack(">Q", padding))

NONCES = set()
for sealed, clear in HERE["decrypt"]:
    file, content = Path(sealed).read_bytes(), b""
    chunks = file[:-8]
    assert len(chunks) % (BLOCK + 28) == 0, (sealed, len(file))
    for start in range(0, len(chunks), BLOCK + 28):
        nonce = chunks[start : start + 12]
        assert nonce not in NONCES, (sealed, "a nonce twice")
        NONCES.add(nonce)
        content += GCM.decrypt(nonce, chunks[start + 12 : start + BLOCK + 28], None)
    (padding,) = struct.unpack(">Q", file[-8:])
    assert padding < BLOCK and not any(content[len(content) - padding :]), (sealed, padding)
    assert content[: len(content) - padding] == Path(clear).read_bytes(), sealed
print("done")
