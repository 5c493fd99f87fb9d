"""Writes the test vectors of the encrypted file formats, from the layouts in docs/format-v2.md.

    pip install cryptography
    python3 generate.py            writes v1.json, v2.json, azure.json and manifest.json beside this file
    python3 generate.py --check    compares them with what it would write

It shares no code with the Rust crate: AES-GCM and AES key wrap are the `cryptography` package's, HKDF and HMAC are spelled
out over `hmac`. Random values are fixed here, and only here.
"""

import base64
import hashlib
import hmac
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

MIB = 1 << 20
DEK = bytes(range(32))


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def extract(salt, ikm):
    return mac(salt or bytes(32), ikm)


def expand(prk, info, length):
    out, block = b"", b""
    for counter in range(1, 256):
        if len(out) >= length:
            break
        block = mac(prk, block + info + bytes([counter]))
        out += block
    return out[:length]


def pattern(length):
    """SHA-256(u64le 0) || SHA-256(u64le 1) || ..., cut."""
    whole = b"".join(sha256(struct.pack("<Q", i)) for i in range(-(-length // 32)))
    return whole[:length]


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def gcm(key, nonce, clear):
    return AESGCM(key).encrypt(nonce, clear, None)


def be96(number):
    return number.to_bytes(12, "big")


# Format v2


def v2_header(s, e, bound, file_id):
    return b"CRBF2\0\r\n" + bytes([2, 1, s, e]) + struct.pack("<I", 1 if bound else 0) + file_id


def v2_salt(index):
    return sha256(b"salt" + struct.pack("<Q", index))[:16]


def v2_file(clear, s=16, e=22, path=None, file_id=bytes(range(0xF0, 0x100)), generation=1, mtime=0, mode=0):
    header = v2_header(s, e, path is not None, file_id)
    prk = extract(file_id, DEK)
    keys = {
        "prk": prk,
        "extentRoot": expand(prk, b"crbf2/extent-root" + header, 32),
        "commit": expand(prk, b"crbf2/commit" + header, 32),
        "name": expand(prk, b"crbf2/name" + header, 32),
    }
    key_id = expand(extract(b"", DEK), b"crbf2/key-id", 16)
    body, table, extent_keys = b"", b"", []
    for index, extent in enumerate(pieces(clear, 1 << e)):
        salt = v2_salt(index)
        key = expand(keys["extentRoot"], b"crbf2/extent" + struct.pack("<Q", index) + salt, 32)
        extent_keys.append(key)
        table += salt
        for number, segment in enumerate(pieces(extent, 1 << s)):
            body += gcm(key, be96(number), segment)
    name_tag = bytes(16) if path is None else mac(keys["name"], path.encode())[:16]
    footer = header + key_id + struct.pack("<QQQII", len(clear), generation, mtime, mode, 1) + name_tag + bytes(8)
    assert len(footer) == 104
    tag = mac(keys["commit"], table + footer)
    blob = header + body + table + footer + tag + b"CRBF2END"
    return blob, {
        "path": path,
        "segmentExponent": s,
        "extentExponent": e,
        "fileId": file_id.hex(),
        "generation": generation,
        "mtimeNs": mtime,
        "mode": mode,
        "keyId": key_id.hex(),
        "keys": {name: key.hex() for name, key in keys.items()},
        "extentKeys": [key.hex() for key in extent_keys],
        "salts": [salt.hex() for salt in pieces(table, 16)],
        "nameTag": name_tag.hex(),
        "mac": tag.hex(),
        "clearLength": len(clear),
        "blobLength": len(blob),
        "blobSha256": sha256(blob).hex(),
    }


def v2():
    whole = pattern(12_652_912)
    files = []

    def add(clear, show, **options):
        blob, described = v2_file(clear, **options)
        if show:
            described.update(clear=clear.hex(), blob=blob.hex())
        else:
            assert clear == whole[: len(clear)]
        files.append(described)
        return blob

    # The first ten are the reference's.
    for length in [0, 1, 65535, 65536, 65537, 4194303, 4194304, 4194305, 12652912]:
        add(whole[:length], length < 2)
    bound = add(b"hello world", True, path="a/b.txt")
    later = dict(generation=7, mtime=1_750_000_000_123_456_789, mode=0o640)
    for length in [4095, 4096, 4097, 8191, 8192, 8193, 12288, 16385, 40000]:
        add(whole[:length], length == 8193, s=12, e=13, file_id=bytes(range(16)), **later)
    add(whole[:5000], False, s=12, e=12, path="ü/データ.csv", **later)
    add(whole[: 3 * MIB + 5], False, s=20, e=20, **later)

    def refused(what, at, xor, error):
        return {"what": what, "offset": at, "xor": xor, "error": error}

    end = len(bound)
    changes = [
        refused("magic of the header", 0, 1, "header"),
        refused("file id of the header", 31, 128, "header"),
        refused("cipher text", 32, 1, "content"),
        refused("tag", 58, 1, "content"),
        refused("salt", 59, 1, "footer"),
        refused("magic of the footer", end - 144, 1, "foreign"),
        refused("version", end - 136, 3, "unsupported"),
        refused("suite", end - 135, 3, "unsupported"),
        refused("segment size", end - 134, 1, "footer"),
        refused("segment size out of range", end - 134, 16, "unsupported"),
        refused("name binding", end - 132, 1, "footer"),
        refused("unknown header flag", end - 131, 1, "unsupported"),
        refused("file id of the footer", end - 128, 1, "footer"),
        refused("key id", end - 112, 1, "key"),
        refused("clear length", end - 96, 1, "length"),
        refused("generation", end - 88, 2, "footer"),
        refused("mtime", end - 80, 1, "footer"),
        refused("mode", end - 72, 1, "footer"),
        refused("committed flag", end - 68, 1, "unsupported"),
        refused("unknown footer flag", end - 67, 1, "unsupported"),
        refused("name tag", end - 64, 1, "footer"),
        refused("reserved bytes", end - 48, 1, "unsupported"),
        refused("commit MAC", end - 40, 1, "footer"),
        refused("end magic", end - 1, 1, "foreign"),
    ]
    # The header's copy is compared first where the whole blob is at hand.
    for change in changes:
        if change["what"] in ("segment size", "name binding", "file id of the footer"):
            change["error"] = "header"
    return {
        "dek": DEK.hex(),
        "clear": "SHA-256(u64le 0) || SHA-256(u64le 1) || ..., its first clearLength bytes, unless a file says otherwise",
        "files": files,
        "refused": {"file": 9, "changes": changes},
        "invalidLengths": [*range(0, 176), *range(177, 209), 65745, 65760, 4195521, 4195552],
    }


# Upstream's format


def v1_file(clear, block):
    blob = b""
    for index, chunk in enumerate(pieces(clear, block)):
        nonce = be96(index + 1)
        blob += nonce + gcm(DEK, nonce, chunk.ljust(block, b"\0"))
    padding = -len(clear) % block
    return blob + struct.pack(">Q", padding)


def v1():
    files = []
    whole = pattern(17 * MIB)
    # The first six and "hello world" are the reference's.
    cases = [(whole[:n], 1) for n in [0, 1, MIB - 1, MIB, MIB + 1, 3158073]]
    cases.append((b"hello world", 1))
    cases += [(whole[:n], 4) for n in [0, 1, 4 * MIB, 4 * MIB + 1]]
    cases += [(whole[:n], 16) for n in [1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1]]
    for clear, mib in cases:
        blob = v1_file(clear, mib * MIB)
        shown = {"clear": clear.hex()} if clear == b"hello world" else {}
        first = {"nonce": blob[:12].hex(), "cipher": blob[12:44].hex(), "tag": blob[12 + mib * MIB : 28 + mib * MIB].hex()}
        files.append(
            {
                "blockMib": mib,
                "clearLength": len(clear),
                **shown,
                "blobLength": len(blob),
                "blobSha256": sha256(blob).hex(),
                "trailer": blob[-8:].hex(),
                "firstChunk": first if clear else None,
            }
        )
    return {"dek": DEK.hex(), "nonces": "chunk i has the 96-bit big-endian number i + 1", "files": files}


# Azure client-side encryption 2.x

NONCES = {
    "python": lambda i: be96(i),
    "java": lambda i: struct.pack(">Q", i) + bytes(4),
    "dotnet": lambda i: bytes(4) + struct.pack("<Q", i + 1),
}


def azure():
    cek = bytes(range(0x80, 0xA0))
    key_id, name, region = "wrapped-dek", "a/b.txt", 65536
    seal_key = expand(extract(b"", DEK), b"crbf2/cse-seal", 32)

    def envelope(protocol, length):
        wrapped = aes_key_wrap(DEK, protocol.encode().ljust(8, b"\0") + cek)
        data = {
            "WrappedContentKey": {"KeyId": key_id, "EncryptedKey": base64.b64encode(wrapped).decode(), "Algorithm": "A256KW"},
            "EncryptionAgent": {"Protocol": protocol, "EncryptionAlgorithm": "AES_GCM_256"},
            "EncryptedRegionInfo": {"DataLength": length, "NonceLength": 12},
            "KeyWrappingMetadata": {"EncryptionLibrary": "cleanroom"},
            "EncryptionMode": "FullBlob",
        }
        return json.dumps(data, separators=(",", ":"))

    whole = pattern(327757)
    files = []
    for length in [0, 1, 65536, 65537, 327757]:
        clear = whole[:length]
        text = envelope("2.1", region)
        regions = pieces(clear, region)
        tag = mac(
            seal_key,
            struct.pack("<QQI", len(regions), length, len(name.encode())) + name.encode() + text.encode(),
        )
        described = {"clearLength": length, "seal": base64.b64encode(struct.pack("<Q", length) + tag).decode()}
        for writer, nonce in NONCES.items():
            body = b"".join(nonce(i) + gcm(cek, nonce(i), part) for i, part in enumerate(regions))
            described["bodyLength"] = len(body)
            described[writer] = sha256(body).hex()
            if length == 1:
                described[f"{writer}Body"] = body.hex()
        files.append(described)
    return {
        "dek": DEK.hex(),
        "contentKey": cek.hex(),
        "keyId": key_id,
        "name": name,
        "regionLength": region,
        "encryptionData": envelope("2.1", region),
        "encryptionData20": envelope("2.0", 4 * MIB),
        "sealKey": seal_key.hex(),
        "files": files,
    }


# Manifest


def tree(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:]))


def manifest():
    def entry(path, length, file_id, generation, authenticator):
        return {
            "path": path,
            "length": length,
            "fileId": file_id.hex(),
            "generation": generation,
            "authenticator": authenticator.hex(),
        }

    entries = [
        entry(f"data/part-{i:02}.csv", 1000 * i, sha256(f"id {i}".encode())[:16], i + 1, sha256(f"mac {i}".encode()))
        for i in range(5)
    ]
    entries.append(entry("data", 0, bytes(16), 0, sha256(b"")))
    entries.append(entry("zürich", (1 << 40) + 1, bytes(16), 0, sha256(b"plain")))
    root_key = expand(extract(b"", DEK), b"manifest", 32)
    lists = []
    for count in range(len(entries) + 1):
        chosen = sorted(entries[:count], key=lambda one: one["path"].encode())
        encoded = []
        for one in chosen:
            path = one["path"].encode()
            encoded.append(
                struct.pack("<I", len(path))
                + path
                + struct.pack("<Q", one["length"])
                + bytes.fromhex(one["fileId"])
                + struct.pack("<Q", one["generation"])
                + bytes.fromhex(one["authenticator"])
            )
        body = b"CRMF1\0\r\n" + struct.pack("<Q", count) + b"".join(encoded)
        head = tree([sha256(b"\0" + one) for one in encoded])
        lists.append(
            {"entries": count, "encoded": body.hex(), "head": head.hex(), "manifestHmac": mac(root_key, head).hex()}
        )
    return {"dek": DEK.hex(), "rootKey": root_key.hex(), "entries": entries, "lists": lists}


def main():
    wrong = []
    for name, make in [("v1", v1), ("v2", v2), ("azure", azure), ("manifest", manifest)]:
        path = Path(__file__).with_name(f"{name}.json")
        text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            wrong.append(path.name)
    if wrong:
        sys.exit(f"differ from the layouts: {', '.join(wrong)}")
    print("done")


main()
