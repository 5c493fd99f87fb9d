"""azure-storage-blob: block blobs, ranges, conditions, listings, and customer-provided keys."""

import base64
import hashlib
import io

import room
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobBlock,
    BlobPrefix,
    BlobServiceClient,
    ContentSettings,
    CustomerProvidedEncryptionKey,
)

WORLD = room.load()
LITWARE, FABRIKAM = WORLD["litware"], WORLD["fabrikam"]
OWNER = room.blob_service(WORLD, LITWARE, room.secret_credential(WORLD, LITWARE))
DATA = OWNER.get_container_client("data")


def blob(name):
    return DATA.get_blob_client(name)


def read(client, *args, **kwargs):
    return client.download_blob(*args, **kwargs).readall()


def containers():
    DATA.create_container(metadata={"party": "litware"})
    room.check("metadata of a container", DATA.get_container_properties().metadata, {"party": "litware"})
    refused = room.refused
    refused("a second container of the name", ResourceExistsError, 409, "ContainerAlreadyExists", DATA.create_container)
    absent = OWNER.get_container_client("absent")
    room.check("existing containers", (DATA.exists(), absent.exists()), (True, False))
    refused("a blob of no container", ResourceNotFoundError, 404, "ContainerNotFound", lambda: read(absent.get_blob_client("a")))
    refused("the name A", HttpResponseError, 400, "InvalidResourceName", lambda: OWNER.create_container("A"))
    room.check("listed containers", [one.name for one in OWNER.list_containers(name_starts_with="da")], ["data"])
    temporary = OWNER.create_container("temporary")
    temporary.delete_container()
    refused("a deleted container", ResourceNotFoundError, 404, "ContainerNotFound", temporary.get_container_properties)
    room.check("kind of the account", OWNER.get_account_information()["account_kind"], "StorageV2")
    stranger = room.blob_service(WORLD, LITWARE, room.secret_credential(WORLD, FABRIKAM))
    refused(
        "a stranger", HttpResponseError, 403, "AuthorizationPermissionMismatch",
        lambda: list(stranger.list_containers()),
    )


def small():
    client = blob("small.txt")
    settings = ContentSettings(
        content_type="text/plain", content_language="en", cache_control="no-store",
        content_disposition="inline", content_encoding="identity",
    )
    answer = client.upload_blob(b"0123456789", metadata={"Case": "kept?", "two": "2"}, content_settings=settings)
    properties = client.get_blob_properties()
    room.check("etag of the answer", properties.etag, answer["etag"])
    room.check("size", properties.size, 10)
    room.check("kind", properties.blob_type.value, "BlockBlob")
    room.check("metadata", {k.lower(): v for k, v in properties.metadata.items()}, {"case": "kept?", "two": "2"})
    kept = properties.content_settings
    room.check("content headers", (kept.content_type, kept.content_language, kept.cache_control, kept.content_disposition),
               ("text/plain", "en", "no-store", "inline"))
    room.check("MD5", bytes(kept.content_md5), hashlib.md5(b"0123456789").digest())
    room.check("no customer's key", properties.encryption_key_sha256, None)
    room.refused("a blob that exists", ResourceExistsError, 409, "BlobAlreadyExists", lambda: client.upload_blob(b"x"))
    room.check("the blob is as it was", read(client), b"0123456789")

    # Ranges: inside, past the end, from the end on.
    room.check("a range", read(client, offset=2, length=3), b"234")
    room.check("a range to the end", read(client, offset=7), b"789")
    room.check("a range over the end", read(client, offset=8, length=100), b"89")
    room.check("a range with MD5", read(client, offset=1, length=4, validate_content=True), b"1234")
    room.refused("a range past the end", HttpResponseError, 416, "InvalidRange", lambda: read(client, offset=10, length=1))

    client.set_blob_metadata({"fresh": "1"})
    room.check("new metadata", client.get_blob_properties().metadata, {"fresh": "1"})
    client.set_http_headers(ContentSettings(content_type="text/csv"))
    changed = client.get_blob_properties()
    room.check("new content type", (changed.content_settings.content_type, changed.content_settings.content_language), ("text/csv", None))
    room.check("a change makes a new etag", changed.etag != answer["etag"], True)
    room.check("metadata stays", changed.metadata, {"fresh": "1"})
    empty = blob("empty")
    empty.upload_blob(b"")
    room.check("an empty blob", (read(empty), empty.get_blob_properties().size), (b"", 0))


def staged():
    client = blob("staged/blob")
    ids = [base64.b64encode(f"{n:08}".encode()).decode() for n in range(3)]
    parts = [b"a" * 5000, b"b" * 7, b"c" * 3000]
    for one, part in zip(ids, parts):
        client.stage_block(one, part, validate_content=True)
    room.check("staged is not there", client.exists(), False)
    committed, waiting = client.get_block_list("all")
    room.check("staged blocks", ([b.size for b in committed], [b.size for b in waiting]), ([], [5000, 7, 3000]))
    room.refused(
        "a block that was never staged", HttpResponseError, 400, "InvalidBlockList",
        lambda: client.commit_block_list([BlobBlock(ids[0]), BlobBlock(base64.b64encode(b"99999999").decode())]),
    )
    order = [ids[2], ids[0], ids[1]]
    client.commit_block_list([BlobBlock(one) for one in order], metadata={"parts": "3"}, validate_content=True)
    room.check("blocks in the order of the commit", read(client), parts[2] + parts[0] + parts[1])
    committed, waiting = client.get_block_list("all")
    room.check("committed blocks", ([b.id for b in committed], waiting), (order, []))
    room.check("a range over block borders", read(client, offset=2999, length=5002), b"c" + b"a" * 5000 + b"b")
    properties = client.get_blob_properties()
    room.check("metadata of a commit", (properties.size, properties.metadata), (8007, {"parts": "3"}))
    client.commit_block_list([BlobBlock(ids[1])])
    room.check("a commit reuses committed blocks", read(client), parts[1])

    # The SDK's own way with something larger: blocks and ranges in parallel.
    service = BlobServiceClient(
        LITWARE["blob_url"], credential=room.secret_credential(WORLD, LITWARE), connection_verify=WORLD["ca"],
        max_single_put_size=64 << 10, max_block_size=64 << 10, max_single_get_size=100_000, max_chunk_get_size=70_000,
        min_large_block_upload_threshold=1, retry_total=0,
    )
    large = room.random_bytes(1_000_003)
    client = service.get_blob_client("data", "large")
    client.upload_blob(io.BytesIO(large), length=len(large), max_concurrency=4, validate_content=True)
    room.check("blocks of the SDK", len(client.get_block_list()[0]), -(-len(large) // (64 << 10)))
    room.check("read in ranges", read(client, max_concurrency=4) == large, True)
    room.check("read with checksums", read(client, max_concurrency=2, validate_content=True) == large, True)
    room.check("chunks of a download", b"".join(client.download_blob().chunks()) == large, True)


def listings():
    names = ["list/a", "list/b c+d%20?&#é", "list/deep/x", "list/deep/y", "list/<&>\"'", "other"]
    for name in names:
        blob(name).upload_blob(name.encode(), metadata={"of": "list"})
    for name in names:
        room.check(f"the content of {name}", read(blob(name)), name.encode())
    expected = sorted(names[:-1])
    room.check("listed by prefix", [b.name for b in DATA.list_blobs(name_starts_with="list/")], expected)
    room.check("only names", list(DATA.list_blob_names(name_starts_with="list/")), expected)
    pages = DATA.list_blobs(name_starts_with="list/", results_per_page=2).by_page()
    first = [b.name for b in next(pages)]
    rest = DATA.list_blobs(name_starts_with="list/", results_per_page=2).by_page(pages.continuation_token)
    room.check("pages", [first, *([b.name for b in page] for page in rest)], [expected[:2], expected[2:4], expected[4:]])
    walked = list(DATA.walk_blobs(name_starts_with="list/"))
    room.check("a folder is one entry", [b.name for b in walked if isinstance(b, BlobPrefix)], ["list/deep/"])
    room.check("beside its blobs", [b.name for b in walked if not isinstance(b, BlobPrefix)], [n for n in expected if "deep" not in n])
    listed = next(iter(DATA.list_blobs(name_starts_with="list/a", include=["metadata"])))
    actual = blob("list/a").get_blob_properties()
    room.check("a listing says what the blob says",
               (listed.size, listed.etag, listed.last_modified, listed.metadata, listed.creation_time, bytes(listed.content_settings.content_md5)),
               (6, actual.etag.strip('"'), actual.last_modified, {"of": "list"}, actual.creation_time, bytes(actual.content_settings.content_md5)))


def conditions():
    client = blob("conditional")
    old = client.upload_blob(b"one")["etag"]
    same = {"match_condition": MatchConditions.IfNotModified}
    other = {"match_condition": MatchConditions.IfModified}
    new = client.upload_blob(b"two", overwrite=True, etag=old, **same)["etag"]
    room.check("a write makes a new etag", new != old, True)

    def modified(what, call):
        room.refused(what, ResourceModifiedError, 412, "ConditionNotMet", call)

    modified("a write over a newer blob", lambda: client.upload_blob(b"three", overwrite=True, etag=old, **same))
    modified("a read of an older blob", lambda: read(client, etag=old, **same))
    modified("a deletion of an older blob", lambda: client.delete_blob(etag=old, **same))
    modified("metadata of an older blob", lambda: client.set_blob_metadata({"a": "b"}, etag=old, **same))
    client.stage_block("AAAA", b"three")
    modified("a commit over a newer blob", lambda: client.commit_block_list([BlobBlock("AAAA")], etag=old, **same))
    modified("a write where nothing is", lambda: blob("nothing").upload_blob(b"x", overwrite=True, etag=old, **same))
    room.check("nothing was written", (read(client, etag=new, **same), read(client, etag=old, **other)), (b"two", b"two"))
    # The SDK goes by the code, which is the same for 304 and 412.
    room.refused("an unchanged blob", ResourceModifiedError, 304, "ConditionNotMet", lambda: read(client, etag=new, **other))
    client.commit_block_list([BlobBlock("AAAA")], etag=new, **same)
    newest = client.get_blob_properties().etag
    room.check("the commit under the right etag", read(client), b"three")
    client.delete_blob(etag=newest, **same)

    room.check("gone", client.exists(), False)
    for what, call in [
        ("reading what was deleted", lambda: read(client)),
        ("properties of what was deleted", client.get_blob_properties),
        ("deleting what was deleted", client.delete_blob),
    ]:
        room.refused(what, ResourceNotFoundError, 404, "BlobNotFound", call)


def key():
    secret = room.random_bytes(32)
    return CustomerProvidedEncryptionKey(
        base64.b64encode(secret).decode(), base64.b64encode(hashlib.sha256(secret).digest()).decode()
    )


def customer_keys():
    client, plain, right, wrong = blob("sealed"), blob("plain"), key(), key()
    answer = client.upload_blob(b"under a key", cpk=right, metadata={"m": "1"})
    room.check("the answer names the key", answer["encryption_key_sha256"], right.key_hash)
    room.check("read with the key", read(client, cpk=right), b"under a key")
    room.check("a range with the key", read(client, offset=6, length=1, cpk=right), b"a")
    properties = client.get_blob_properties(cpk=right)
    room.check("properties with the key", (properties.encryption_key_sha256, properties.metadata), (right.key_hash, {"m": "1"}))
    check_refusals("sealed", client, right, wrong)

    client = blob("sealed blocks")
    client.stage_block("AAAA", b"one ", cpk=right)
    client.stage_block("BBBB", b"two", cpk=right)
    blocks = [BlobBlock("AAAA"), BlobBlock("BBBB")]
    room.refused("a commit without the key", ResourceExistsError, 409, NO_KEY, lambda: client.commit_block_list(blocks))
    client.commit_block_list(blocks, cpk=right)
    room.check("blocks with the key", read(client, cpk=right), b"one two")
    check_refusals("sealed blocks", client, right, wrong)

    plain.upload_blob(b"in clear", metadata={"clear": "1"})
    room.refused(
        "a key where none is", ResourceExistsError, 409, "BlobDoesNotUseCustomerSpecifiedEncryption", lambda: read(plain, cpk=right)
    )
    room.check("read without a key where none is", read(plain), b"in clear")
    mixed = CustomerProvidedEncryptionKey(right.key_value, wrong.key_hash)
    room.refused("a key with another's hash", HttpResponseError, 400, "InvalidHeaderValue", lambda: plain.upload_blob(b"x", overwrite=True, cpk=mixed))
    listed = {b.name: b for b in DATA.list_blobs(include=["metadata"])}
    room.check("a listing hides metadata under a key", (listed["sealed"].encrypted_metadata, listed["sealed"].metadata), ("true", None))
    room.check("and no other", (listed["plain"].encrypted_metadata, listed["plain"].metadata), (None, {"clear": "1"}))
    # Whoever has no key may still destroy.
    client.delete_blob()
    room.check("deleted without the key", client.exists(), False)


NO_KEY = "BlobUsesCustomerSpecifiedEncryption"
WRONG_KEY = "BlobCustomerSpecifiedEncryptionMismatch"


# The SDK says ResourceExistsError for whatever is a 409.
def check_refusals(name, client, right, wrong):
    for what, code, keys in [("no key", NO_KEY, {}), ("another key", WRONG_KEY, {"cpk": wrong})]:
        room.refused(f"{name}: reading with {what}", ResourceExistsError, 409, code, lambda: read(client, **keys))
        room.refused(f"{name}: properties with {what}", ResourceExistsError, 409, code, lambda: client.get_blob_properties(**keys))
        room.refused(f"{name}: metadata with {what}", ResourceExistsError, 409, code, lambda: client.set_blob_metadata({}, **keys))
    client.set_blob_metadata({"with": "key"}, cpk=right)


for part in [containers, small, staged, listings, conditions, customer_keys]:
    part()
print("done")
