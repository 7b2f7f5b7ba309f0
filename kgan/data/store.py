"""Safe access to the files of a folder or zip archive, which may hold other files than images."""

import functools
import os
import stat
import warnings
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from kgan.runtime.files import HEAD, Undecodable, sniff
from kgan.runtime.inputs import hidden, open_zip, open_zipped

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
SUFFIXES |= {".avif", ".heic", ".heif", ".jp2"}
NO_IMAGES = {".txt", ".csv", ".json", ".xml", ".md", ".html", ".mat", ".py"}  # suffixes that need no look inside
MAX_FILE_BYTES = 2**28


class Store:
    """The files of a folder or zip archive, at any depth; nothing outside it can be read.

    Hidden files and those that macOS and Windows leave behind (`__MACOSX`, `Thumbs.db`) are ignored. Links inside a
    folder are followed, but not in cycles. One warning reports what is ignored for safety: links that lead out of the
    folder, all links in an archive, and members whose name is absolute or contains `..`.

    A store can be pickled. Each process opens an archive itself, and reopens it when the file has changed.

    Args:
        path: folder or archive; `~` is the home folder.

    Raises:
        FileNotFoundError: the path does not exist.

    Example:

    ```python
    store = Store("photos.zip")
    with store.open(store.pictures()[0]) as file:
        data = file.read()
    ```
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self._root = os.path.realpath(os.path.expanduser(self.path))
        self._is_folder = os.path.isdir(self._root)
        if not self._is_folder and not os.path.isfile(self._root):
            raise FileNotFoundError(f"no folder or zip archive {self.path!r}")

    def __reduce__(self):
        # Leaves out the names, of which there may be many: a worker only opens the files that it is given.
        return Store, (self.path,)

    @functools.cached_property
    def names(self):
        """Sorted paths of the files, relative to the folder or archive, with `/` as separator.

        Raises:
            ValueError: the file is not a complete zip archive.
        """
        names, _, outside = self._found
        kind = "links that lead outside the folder"
        if not self._is_folder:
            kind = "links, and names that lead outside the archive"
        if outside:
            message = f"{self.path}: ignored {kind}: {len(outside)}, the first is {min(outside)}"
            warnings.warn(message, stacklevel=3)
        return sorted(names)

    @functools.cached_property
    def folders(self):
        """Set of the paths of all folders in it, empty ones included."""
        names, empty, _ = self._found
        folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
        return (folders | set(empty)) - {"."}

    @functools.cached_property
    def _found(self):
        return self._walk() if self._is_folder else self._archive()[1:]

    def pictures(self, names=None, place=""):
        """Returns the names of images: those with the suffix of one, and of the others those with its first bytes.

        Args:
            names: list of names to choose from; None for all.
            place: where these names are, for the error message, such as `" in train"`.

        Raises:
            ValueError: there is no image.
        """
        found = [name for name in (self.names if names is None else names) if self.is_picture(name)]
        if not found:
            message = f"{self.path} has no images{place} ({', '.join(sorted(SUFFIXES))})"
            if names is None and self._is_folder and (outside := self._found[2]):
                message += f"; the link {min(outside)} leads out of the folder and was not followed: pass its target"
            raise ValueError(message)
        return found

    def is_picture(self, name):
        """Whether a file is an image, by its suffix or, if that says nothing, its first bytes."""
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES or suffix in NO_IMAGES:
            return suffix in SUFFIXES
        try:
            with self.open(name) as file:
                head = file.read(HEAD)
            return bool(sniff(head))
        except Undecodable as error:  # of an image that cannot be read there shall be a warning
            return error.status == "unsupported" and head[4:8] != b"ftyp"  # but not of a film
        except Exception:  # zipfile raises many exception types on a damaged archive.
            return False

    def open(self, name, most=MAX_FILE_BYTES):
        """Opens a file for reading bytes.

        Raises:
            Exception: the file has more than `most` bytes or is not in the store, or its archive is damaged, encrypted
                or compressed by an unsupported method; the type depends on `zipfile`.
        """
        if self._is_folder:
            path = os.path.realpath(os.path.join(self._root, name))
            found = os.stat(path)
            # Opening a pipe would block.
            if not _lies_in(path, self._root) or not stat.S_ISREG(found.st_mode):
                raise ValueError("not a regular file in this folder")
            size, start = found.st_size, functools.partial(open, path, "rb")
        else:
            archive, members, *_ = self._archive()
            if name not in members:
                raise ValueError("not in this archive")
            size, start = members[name].file_size, functools.partial(open_zipped, archive, members[name])
        if size > most:
            raise ValueError(f"{size} bytes, more than the limit of {most}")
        return start()

    def read(self, name, most):
        """Returns the bytes of a file.

        Raises:
            ValueError: the file cannot be read or has more than `most` bytes; the error names it.
        """
        try:
            with self.open(name, most) as file:
                return file.read(most)
        except Exception as error:  # zipfile raises many exception types on a damaged archive.
            raise ValueError(f"{self.path}: {name}: {error}") from None

    def attempt(self, name, task, *args):
        """Returns `task(file, *args)` for an open file; on failure, warns with the file's name and returns None."""
        try:
            with self.open(name) as file:
                return task(file, *args)
        except Exception as error:  # Pillow's decoders raise many exception types on a broken file.
            warnings.warn(f"skipped {self.path}: {name}: {error}", stacklevel=2)
            return None

    def _walk(self):
        names, inside, outside = [], [], []
        folders = [("", (self._root,))]
        while folders:
            # `way` holds the real paths of the folders from the root down: a link to one of them would be a cycle.
            place, way = folders.pop()
            try:
                entries = list(os.scandir(os.path.join(self._root, place)))
            except OSError as error:
                warnings.warn(f"skipped {self.path}: {place}: {error}", stacklevel=4)
                continue
            for entry in entries:
                name = place + entry.name
                if hidden(entry.name):
                    continue
                if entry.is_file(follow_symlinks=False):
                    names.append(name)
                    continue
                real = os.path.realpath(entry.path)
                if not _lies_in(real, self._root):
                    outside.append(name)
                elif not os.path.isdir(real):
                    names.append(name)
                elif real not in way:
                    folders.append((name + "/", (*way, real)))
                    inside.append(name)
        return names, inside, outside

    def _archive(self):
        try:
            found = os.stat(self._root)
            return _open_archive(self._root, os.getpid(), found.st_ino, found.st_size, found.st_mtime_ns)
        except Exception as error:  # zipfile raises many exception types on a damaged archive.
            raise ValueError(f"{self.path} is not a complete zip archive ({error})") from None


def none_readable(path, count):
    """Returns the error for a folder or archive without a readable image."""
    return ValueError(f"{path}: none of the {count} files can be read as an image")


def _lies_in(path, folder):
    return PurePath(path).is_relative_to(folder)


@functools.lru_cache(maxsize=4)
def _open_archive(path, process, *version):
    """Returns an archive, a dict of its files by name, its folders, and the names of those ignored for safety.

    The archive is opened once per `process`, because a forked worker must not share its parent's position in the file,
    and once per `version` of the file.
    """
    archive = open_zip(path)
    members, folders, outside = {}, [], []
    for info in archive.infolist():
        # `PureWindowsPath` understands both kinds of slash, and drives.
        name = PureWindowsPath(info.filename)
        if any(part != ".." and hidden(part) for part in name.parts):
            continue
        if info.filename.endswith(("/", "\\")):
            folders.append(name.as_posix())
        elif name.anchor or ".." in name.parts or stat.S_ISLNK(info.external_attr >> 16):
            outside.append(info.filename)
        else:
            members[name.as_posix()] = info
    return archive, members, folders, outside
