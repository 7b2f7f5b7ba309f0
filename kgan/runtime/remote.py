"""Images and folders that are named by URIs, such as `s3://bucket/photos`, read through fsspec."""

import glob
import os
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kgan.runtime.files import Undecodable, read_bounded
from kgan.runtime.inputs import ARCHIVES, Input, expand, find, hidden, members, refuse, walk

AHEAD = 32  # remote files that are read at once, since each waits for its server


def is_remote(name):
    return "://" in name and not name.startswith("file://")


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
        return fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{uri}: {error}") from None


def put_whole(system, folder, name, data):
    """Writes a file whole or not at all; with another temporary name each time, since several workers may do so."""
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
    system.pipe_file(temporary, data)
    system.mv(temporary, f"{folder}/{name}")


def listed(names, leave_out=()):
    """Finds the images of a run, without opening archives.

    Args:
        names: iterable of paths, URIs and patterns; folders give their files, as for `kgan.runtime.inputs.find`.
        leave_out: names of folders to skip when folders are searched.

    Yields:
        `(name, is_archive)`: a local path or a URI. An archive in a folder counts as a file.

    Raises:
        ValueError: a pattern matches nothing, or a URI cannot be read.
    """
    for name in names:
        if is_remote(name):
            yield from _listed_remotely(name, leave_out)
            continue
        for path in expand(name.removeprefix("file://")):
            if os.path.isdir(path):
                yield from ((found.name, False) for found in walk(path, set(map(os.path.abspath, leave_out))))
            else:
                yield path, path.lower().endswith(ARCHIVES)


def _listed_remotely(uri, leave_out):
    system, path = file_system(uri)
    leave_out = {there.unstrip_protocol(out) for there, out in map(file_system, leave_out)}
    try:
        roots = sorted(system.glob(path)) if glob.has_magic(path) else [path]
        if not roots:
            raise ValueError(f"no file matches {uri!r}")
        for root in roots:
            if not system.isdir(root):
                yield system.unstrip_protocol(root), root.lower().endswith(ARCHIVES)
                continue
            for folder, folders, files in system.walk(root):
                full = {one: system.unstrip_protocol(f"{folder}/{one}") for one in (*folders, *files)}
                folders[:] = [one for one in folders if not hidden(one) and full[one] not in leave_out]
                yield from ((full[one], False) for one in sorted(files) if not hidden(one))
    except ValueError:
        raise
    except Exception as error:  # the packages behind fsspec have exceptions of their own
        raise ValueError(f"{uri}: {error or type(error).__name__}") from None


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
            system.get_file(there, path)
        except Exception as error:
            reason = _reason(error)
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
                else:
                    yield Input(name, "", os.path.join(folder, name))


def _fetched(name, max_bytes):
    """Returns the bytes of a remote file, or the `Undecodable` that says why there are none."""
    try:
        system, path = file_system(name)
        with system.open(path, "rb") as file:
            return read_bounded(file, file.size, max_bytes)
    except Exception as error:
        return _reason(error)


def _reason(error):
    if isinstance(error, Undecodable):
        return error
    return Undecodable("missing" if isinstance(error, FileNotFoundError) else "unreadable", str(error))


def _given(data, max_bytes):
    if isinstance(data, Undecodable):
        raise data
    return data
