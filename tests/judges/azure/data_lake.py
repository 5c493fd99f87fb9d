"""azure-storage-file-datalake: file systems, directories, files, renaming, listings."""

import room
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.filedatalake import DataLakeServiceClient

WORLD = room.load()
LITWARE = WORLD["litware"]
CREDENTIAL = room.secret_credential(WORLD, LITWARE)


def service(url):
    return DataLakeServiceClient(url, credential=CREDENTIAL, connection_verify=WORLD["ca"], retry_total=0)


class Endpoints:
    """The SDK reads content at the Blob endpoint, whose name it makes of the other one by this rule."""

    dfs, blob = LITWARE["dfs_url"], LITWARE["blob_url"]
    room.check("the two endpoints", dfs.replace(".dfs.", ".blob."), blob)


LAKE = service(Endpoints.dfs).get_file_system_client("lake")


def paths(**options):
    return [(one.name, bool(one.is_directory), one.content_length) for one in LAKE.get_paths(**options)]


def file_systems():
    LAKE.create_file_system()
    room.refused("a second file system", ResourceExistsError, 409, "ContainerAlreadyExists", LAKE.create_file_system)
    room.check("it is there", LAKE.exists(), True)
    absent = service(Endpoints.dfs).get_file_system_client("absent")
    room.refused("no file system", ResourceNotFoundError, 404, "FilesystemNotFound",
                 lambda: absent.create_directory("d"))


def files():
    directory = LAKE.create_directory("tree/deep")
    room.check("a directory", directory.get_directory_properties().metadata.get("hdi_isfolder"), "true")
    room.refused("a directory that exists", ResourceExistsError, 409, "PathAlreadyExists",
                 lambda: directory.create_directory(match_condition=MatchConditions.IfMissing))
    file = directory.create_file("file é", metadata={"kept": "yes"})
    file.append_data(b"one ", 0, 4)
    file.append_data(b"two", 4, 3)
    room.refused("a gap", HttpResponseError, 400, "InvalidFlushPosition", lambda: file.append_data(b"x", 9, 1))
    file.flush_data(7)
    room.check("content", file.download_file().readall(), b"one two")
    properties = file.get_file_properties()
    room.check("size and metadata", (properties.size, properties.metadata), (7, {"kept": "yes"}))
    return properties


def listings():
    room.check("every path", paths(recursive=True), [
        ("tree", True, 0), ("tree/deep", True, 0), ("tree/deep/file é", False, 7),
    ])
    room.check("the root alone", paths(recursive=False), [("tree", True, 0)])
    room.check("one directory", paths(path="tree", recursive=False), [("tree/deep", True, 0)])
    room.check("in pages", paths(recursive=True, max_results=1), paths(recursive=True))
    room.refused("no directory", ResourceNotFoundError, 404, "PathNotFound", lambda: paths(path="none"))


def renames(before):
    file = LAKE.get_file_client("tree/deep/file é")
    other = LAKE.get_file_client("tree/other")
    other.create_file()
    room.refused("over a name", ResourceExistsError, 409, "PathAlreadyExists",
                 lambda: file.rename_file("lake/tree/other", match_condition=MatchConditions.IfMissing))
    room.refused("of another version", HttpResponseError, 412, "SourceConditionNotMet",
                 lambda: file.rename_file("lake/tree/x", source_etag='"0x1"',
                                          source_match_condition=MatchConditions.IfNotModified))
    room.refused("to nowhere", ResourceNotFoundError, 404, "RenameDestinationParentPathNotFound",
                 lambda: file.rename_file("lake/no/where"))
    moved = file.rename_file("lake/tree/other", source_etag=before.etag,
                             source_match_condition=MatchConditions.IfNotModified)
    after = moved.get_file_properties()
    room.check("what a rename keeps", (after.size, after.metadata, after.etag), (7, {"kept": "yes"}, before.etag))
    room.refused("a name that is gone", ResourceNotFoundError, 404, "SourcePathNotFound",
                 lambda: file.rename_file("lake/tree/again"))
    LAKE.get_directory_client("tree").rename_directory("lake/wood")
    room.check("a whole directory", [name for name, _, _ in paths()], ["wood", "wood/deep", "wood/other"])
    LAKE.get_directory_client("wood").rename_directory("lake/tree")
    LAKE.get_file_client("tree/other").rename_file("lake/tree/file")


def deletes():
    LAKE.get_directory_client("tree/deep").create_file("inside")
    LAKE.get_directory_client("tree/deep").delete_directory()
    room.check("with what is in it", [name for name, _, _ in paths()], ["tree", "tree/file"])
    room.refused("a path that is gone", ResourceNotFoundError, 404, "PathNotFound",
                 lambda: LAKE.get_file_client("tree/deep").delete_file())
    # The other endpoint sees the same names.
    blobs = room.blob_service(WORLD, LITWARE, CREDENTIAL).get_container_client("lake")
    blobs.upload_blob("made/by blob", b"x")
    room.check("made by the Blob endpoint", paths(path="made"), [("made/by blob", False, 1)])
    room.refused("not empty", ResourceExistsError, 409, "DirectoryIsNotEmpty", lambda: blobs.delete_blob("made"))


file_systems()
BEFORE = files()
listings()
renames(BEFORE)
deletes()
print("done")
