"""Images and folders that are named by URIs, such as `s3://bucket/photos`, read through fsspec."""

import glob
import os
import re
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kgan.runtime.files import Undecodable, read_bounded
from kgan.runtime.inputs import (
    ARCHIVES,
    Input,
    expand,
    find,
    hidden,
    in_real_folder,
    members,
    noting_archives,
    refuse,
    walk,
)

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # of two characters or more: one is a drive of Windows
WAITS = (1, 5)  # seconds between the tries of reading a remote file
AHEAD = 32  # remote files that are read at once, since each waits for its server


def is_remote(name):
    return bool(SCHEME.match(name)) and not name.startswith("file://")


def file_system(uri):
    """Returns the fsspec file system of a URI or local path, and the path in it.

    Raises:
        ValueError: fsspec does not know the URI's protocol, or its package is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise ValueError(f"{uri}: URIs need fsspec, which is not installed: pip install kgan[ray]") from None
    try:
        if not is_remote(uri):  # which fsspec would take apart at "::"
            return fsspec.filesystem("file"), os.path.abspath(uri.removeprefix("file://"))
        # A listing of a hundred million files would stay in memory.
        return fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{uri}: {error}") from None


def put_whole(system, folder, name, data):
    """Writes a file whole or not at all; with another temporary name each time, since several workers may do so."""
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
    system.pipe_file(temporary, data)
    system.mv(temporary, f"{folder}/{name}")


def listed(names, leave_out=(), more=()):
    """Finds the images of a run, without opening archives.

    Args:
        names: list of paths, URIs and patterns; folders give their files, as for `kgan.runtime.inputs.find`.
        leave_out: names of folders to skip when folders are searched.
        more: iterable of paths and URIs of images and archives, however many; those that are missing are images, too.

    Yields:
        `(name, is_archive)`: a local path or a URI. An archive in a folder counts as a file.

    Raises:
        ValueError: a pattern matches nothing, a name does not exist, or a URI cannot be read.
    """
    outs = [file_system(out)[1] for out in leave_out if not is_remote(out)]
    here = {place for out in outs for place in (in_real_folder(out), os.path.realpath(out))}
    there = {out.rstrip("/") for out in leave_out if is_remote(out)}
    # All names first, so that one that stands for nothing is found before anything is done.
    local = {name: expand(name.removeprefix("file://")) for name in names if not is_remote(name)}
    for name in names:
        if not (_exists(name) if is_remote(name) else all(map(os.path.lexists, local[name]))):
            raise ValueError(f"{name}: no such file or folder")
    for name in names:
        for path in local.get(name, ()):
            if in_real_folder(path) in here:
                continue
            if os.path.isdir(path):
                found = noting_archives(path, walk(path, here), lambda each: each.name)
                yield from ((each.name, False) for each in found)
            else:
                yield path, path.lower().endswith(ARCHIVES)
        if is_remote(name):
            yield from _listed_remotely(name, there)
    for name in more:
        name = name.removeprefix("file://")
        yield name, name.lower().endswith(ARCHIVES)


def _exists(uri):
    """Whether there is a file or folder of that name; a pattern may match something."""
    system, path = file_system(uri)
    try:
        return glob.has_magic(path) or system.exists(path)
    except Exception as error:  # the packages behind fsspec have exceptions of their own
        raise ValueError(f"{uri}: {error or type(error).__name__}") from None


def _listed_remotely(uri, leave_out):
    system, path = file_system(uri)
    # The path as fsspec has it lacks host, user and the like, which the names of its files need.
    inside = path.lstrip("/")
    if not uri.rstrip("/").endswith(inside):
        raise ValueError(f"{uri}: names of this form are not known; pass PROTOCOL://PLACE/PATH")
    prefix = uri.rstrip("/").removesuffix(inside)

    def full(place):
        return prefix + place.lstrip("/")

    try:
        pattern = glob.has_magic(path) and not system.exists(path)
        roots = sorted(system.glob(path)) if pattern else [path]
        if not roots:
            raise ValueError(f"no file matches {uri!r}")
        for root in roots:
            if full(root) in leave_out:
                continue
            if not _is_folder(system, root):
                yield full(root), root.lower().endswith(ARCHIVES)
                continue
            below = (full(place) for place in _files_below(system, root, lambda place: full(place) in leave_out))
            yield from ((name, False) for name in noting_archives(full(root), below, str))
    except ValueError:
        raise
    except Exception as error:  # the packages behind fsspec have exceptions of their own
        raise ValueError(f"{uri}: {error or type(error).__name__}") from None


def _files_below(system, root, left_out):
    """Yields the files of a folder and its subfolders. Unlike `system.walk`, it fails where it cannot list one."""
    folders = [root]
    while folders:
        folder = folders.pop()
        for entry in sorted(system.ls(folder, detail=True), key=lambda entry: entry["name"]):
            place = entry["name"].rstrip("/")
            # Some buckets mark a folder by a file of its name.
            if place == folder.rstrip("/") or hidden(os.path.basename(place)) or left_out(place):
                continue
            if entry["type"] == "directory":
                folders.append(place)
            else:
                yield place


def _is_folder(system, path):
    try:
        return system.info(path)["type"] == "directory"
    except FileNotFoundError:
        return False


def archive_members(name, folder):
    """Yields the `Input`s of an archive; a remote one is copied to a temporary folder first.

    Args:
        name: local path or URI.
        folder: absolute path, to which local paths are relative.
    """
    if not is_remote(name):
        path = os.path.join(folder, name)
        yield from (_renamed(found, path, name) for found in find([path]))
        return
    with tempfile.TemporaryDirectory(prefix="kgan-") as temporary:
        path = os.path.join(temporary, os.path.basename(name))
        try:
            system, there = file_system(name)
            _tried(system.get_file, there, path)
        except Undecodable as reason:
            yield Input(name, "", read=refuse(reason.status, str(reason)))
            return
        yield from (_renamed(found, path, name) for found in members(path))


def _renamed(found, path, name):
    found.name = name + found.name.removeprefix(path)
    return found


def files(names, folder, max_bytes):
    """Yields the `Input`s of files; remote ones are read ahead.

    Args:
        names: list of local paths and URIs.
        folder: as for `archive_members`.
        max_bytes: most bytes of a file.
    """
    with ThreadPoolExecutor(AHEAD) as pool:
        for start in range(0, len(names), AHEAD):
            part = names[start : start + AHEAD]
            reading = {name: pool.submit(_fetched, name, max_bytes) for name in part if is_remote(name)}
            for name in part:
                if name in reading:
                    yield Input(name, "", read=partial(_given, reading[name].result()))
                elif os.path.isdir(path := os.path.join(folder, name)) and not os.path.islink(path):
                    yield Input(name, "", read=refuse("unreadable"))  # named because it could not be listed
                else:
                    yield Input(name, "", path)


def _fetched(name, max_bytes):
    """Returns the bytes of a remote file, or the `Undecodable` that says why there are none."""
    system, path = file_system(name)

    def read():
        with system.open(path, "rb") as file:
            return read_bounded(file, file.size or 0, max_bytes)

    try:
        return _tried(read)
    except Undecodable as error:
        return error


def _tried(call, *arguments):
    """Calls a function of a remote file system, again if it fails: the network may, for a while.

    Raises:
        Undecodable: the file is missing, may not be read, or is no image.
        OSError: anything else, three times. It is no row, since another run may read the file.
    """
    for wait in (*WAITS, None):
        try:
            return call(*arguments)
        except Undecodable:
            raise
        except (FileNotFoundError, PermissionError) as error:
            status = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
            raise Undecodable(status, str(error)) from None
        except Exception as error:  # the packages behind fsspec have exceptions of their own
            if wait is None:
                raise OSError(f"{arguments or ''}: {error or type(error).__name__}") from None
            time.sleep(wait)


def _given(data, max_bytes):
    if isinstance(data, Undecodable):
        raise data
    return data
