"""azure-storage-blob: client-side encryption, beside a mount of the same containers.

The description's member `mounted` names a key, blobs to decrypt with the file that holds what is in each, and blobs to
encrypt with the file to leave their content in.
"""

from pathlib import Path

import room
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

WORLD = room.load()
LITWARE = WORLD["litware"]
HERE = WORLD["mounted"]
SERVICE = BlobServiceClient(
    LITWARE["blob_url"], credential=room.secret_credential(WORLD, LITWARE), connection_verify=WORLD["ca"],
    retry_total=0, require_encryption=True, encryption_version="2.0", max_single_put_size=5 << 20,
    key_encryption_key=room.Key(HERE["key_id"], bytes.fromhex(HERE["dek"])),
)

for blob in HERE["read"]:
    client = SERVICE.get_blob_client(blob["container"], blob["name"])
    content = client.download_blob().readall()
    room.check(f"{blob['name']}: read", content == Path(blob["clear"]).read_bytes(), True)
    part = client.download_blob(offset=len(content) // 2, length=5000).readall() if content else b""
    middle = len(content) // 2
    room.check(f"{blob['name']}: a part", part == content[middle : middle + 5000], True)

for blob in HERE["write"]:
    try:
        SERVICE.create_container(blob["container"])
    except ResourceExistsError:
        pass
    content = room.random_bytes(blob["length"])
    SERVICE.get_blob_client(blob["container"], blob["name"]).upload_blob(content)
    Path(blob["clear"]).write_bytes(content)
print("done")
