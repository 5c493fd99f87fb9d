"""azure-storage-blob: client-side encryption, in both directions with the clean room's codec.

The description's member `client_side` names a key, and blobs that the codec made: their bodies, metadata and clear content
are files. What the SDK makes is left in storage; what a reader needs of it beside the body goes into `theirs.json`.
"""

import hashlib
import io
import json
from pathlib import Path

import room
from azure.storage.blob import BlobServiceClient

WORLD = room.load()
LITWARE = WORLD["litware"]
HERE = WORLD["client_side"]
CREDENTIAL = room.secret_credential(WORLD, LITWARE)
PLAIN = room.blob_service(WORLD, LITWARE, CREDENTIAL).get_container_client("encrypted")
MIB = 1 << 20


def container(key, **options):
    service = BlobServiceClient(
        LITWARE["blob_url"], credential=CREDENTIAL, connection_verify=WORLD["ca"], retry_total=0,
        require_encryption=True, encryption_version="2.0", key_encryption_key=key, **options,
    )
    return service.get_container_client("encrypted")


RIGHT = room.Key(HERE["key_id"], bytes.fromhex(HERE["dek"]))


def fails(what, call):
    """The SDK has no type of its own for what it cannot decrypt."""
    try:
        call()
    except Exception as error:  # pylint: disable=broad-except
        print("ok", what, type(error).__name__)
        return
    raise AssertionError(f"{what}: nothing was refused")


def theirs():
    """The SDK encrypts: small ones in one request, a large one in blocks."""
    written = []
    for length in [0, 1, 28, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 5]:
        name = f"theirs/{length}"
        clear = room.random_bytes(length)
        small = container(RIGHT, max_single_put_size=5 * MIB, max_block_size=2 * MIB)
        client = small.get_blob_client(name)
        client.upload_blob(io.BytesIO(clear), length=length, metadata={"other": "kept"})
        room.check(f"{name}: the SDK reads itself", client.download_blob().readall() == clear, True)
        metadata = PLAIN.get_blob_client(name).get_blob_properties().metadata
        room.check(f"{name}: other metadata", metadata["other"], "kept")
        written.append(
            {"name": name, "length": length, "sha256": hashlib.sha256(clear).hexdigest(), "data": metadata["encryptiondata"]}
        )
    Path(HERE["folder"], "theirs.json").write_text(json.dumps(written), encoding="utf-8")


def ours():
    """The codec encrypted; the SDK decrypts, whole and in ranges."""
    for blob in HERE["blobs"]:
        name, metadata = blob["name"], blob["metadata"]
        body, clear = Path(blob["body"]).read_bytes(), Path(blob["clear"]).read_bytes()
        PLAIN.get_blob_client(name).upload_blob(body, metadata=metadata)
        client = container(RIGHT).get_blob_client(name)
        room.check(f"{name}: whole", client.download_blob().readall() == clear, True)
        ranged = container(RIGHT, max_single_get_size=MIB, max_chunk_get_size=MIB).get_blob_client(name)
        room.check(f"{name}: in parallel", ranged.download_blob(max_concurrency=4).readall() == clear, True)
        for offset in [0, 1, len(clear) // 2, len(clear) - 1]:
            if not 0 <= offset < len(clear):
                continue
            part = client.download_blob(offset=offset, length=70_000).readall()
            room.check(f"{name}: from {offset}", part == clear[offset : offset + 70_000], True)
        if not clear:
            continue
        stranger = container(room.Key(HERE["key_id"], bytes(32))).get_blob_client(name)
        fails(f"{name}: another key", lambda: stranger.download_blob().readall())
        changed = body[:-1] + bytes([body[-1] ^ 1])
        PLAIN.get_blob_client("changed").upload_blob(changed, metadata=metadata, overwrite=True)
        judge = container(RIGHT).get_blob_client("changed")
        fails(f"{name}: a changed tag", lambda: judge.download_blob().readall())


PLAIN.create_container()
theirs()
ours()
print("done")
