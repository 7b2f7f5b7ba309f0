"""A folder or zip archive that pictures are read from, whoever made it."""

import functools
import os
import stat
import warnings
import zipfile
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from kgan.runtime.inputs import hidden

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
MAX_FILE_BYTES = 2**28


class Store:
    """The files of a folder or zip archive, at any depth; nothing outside it can be read.

    Hidden files, and those that macOS and Windows leave behind (`__MACOSX`, `Thumbs.db`), are passed over. Links are
    followed within a folder, but not in circles. Links that lead out of the folder, all links in an archive, and
    members with absolute names or `..` in them are passed over with one warning.

    A store can be pickled. Every process opens an archive for itself, and anew when the file has changed.

    Args:
        path: the folder or archive; `~` is the home folder.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self._root = os.path.realpath(os.path.expanduser(self.path))
        self._is_folder = os.path.isdir(self._root)
        if not self._is_folder and not os.path.isfile(self._root):
            raise FileNotFoundError(f"no folder or zip archive {self.path!r}")

    def __reduce__(self):
        # Without the names, which may be many: a worker only opens the files that it is told to.
        return Store, (self.path,)

    @functools.cached_property
    def names(self):
        """Sorted paths of the files, relative to the folder or archive, with `/` between the parts.

        Raises:
            ValueError: the file is not a whole zip archive.
        """
        if self._is_folder:
            names, outside = self._walk()
            kind = "links that lead outside the folder"
        else:
            _, names, outside = self._archive()
            kind = "links, and names that lead outside the archive"
        if outside:
            message = f"{self.path}: passed over {kind}: {len(outside)}, the first is {min(outside)}"
            warnings.warn(message, stacklevel=3)
        return sorted(names)

    def pictures(self, names=None, place=""):
        """Returns the files with the suffix of a picture.

        Args:
            names: where to look for them; None for all files.
            place: says in the error where that is, such as `" in train"`.

        Raises:
            ValueError: there are none.
        """
        names = self.names if names is None else names
        found = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
        if not found:
            raise ValueError(f"{self.path} has no images{place} ({', '.join(sorted(SUFFIXES))})")
        return found

    def open(self, name, most=MAX_FILE_BYTES):
        """Opens a file for reading bytes.

        Raises:
            Exception: it has more than `most` bytes, is not in the store, or its archive is damaged, encrypted or
                packed in an unknown way; which one depends on `zipfile`.
        """
        if self._is_folder:
            path = os.path.realpath(os.path.join(self._root, name))
            found = os.stat(path)
            # Opening a pipe would wait for ever.
            if not _lies_in(path, self._root) or not stat.S_ISREG(found.st_mode):
                raise ValueError("not a file of this folder")
            size, file = found.st_size, functools.partial(open, path, "rb")
        else:
            archive, members, _ = self._archive()
            if name not in members:
                raise ValueError("not in this archive")
            size, file = members[name].file_size, functools.partial(archive.open, members[name])
        if size > most:
            raise ValueError(f"{size} bytes, more than the {most} that are read")
        return file()

    def read(self, name, most):
        """Returns the bytes of a file of at most `most`.

        Raises:
            ValueError: it cannot be read; the error names it.
        """
        try:
            with self.open(name, most) as file:
                return file.read(most)
        except Exception as error:  # zipfile raises almost anything on a damaged archive.
            raise ValueError(f"{self.path}: {name}: {error}") from None

    def attempt(self, name, task, *args):
        """Returns `task(file, *args)`, or None with a warning when the file cannot be read."""
        try:
            with self.open(name) as file:
                return task(file, *args)
        except Exception as error:  # Pillow's decoders raise almost anything on a broken file.
            warnings.warn(f"skipped {self.path}: {name}: {error}", stacklevel=2)
            return None

    def _walk(self):
        names, outside = [], []
        folders = [("", (self._root,))]
        while folders:
            # The real paths of the folders on the way down tell a link that leads back to one of them.
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
        return names, outside

    def _archive(self):
        try:
            found = os.stat(self._root)
            return _open_archive(self._root, os.getpid(), found.st_ino, found.st_size, found.st_mtime_ns)
        except Exception as error:  # zipfile raises almost anything on a damaged archive.
            raise ValueError(f"{self.path} is not a whole zip archive ({error})") from None


def none_readable(path, count):
    """The error for a store of which no picture is left."""
    return ValueError(f"{path}: none of the {count} files can be read as an image")


def _lies_in(path, folder):
    return PurePath(path).is_relative_to(folder)


@functools.lru_cache(maxsize=4)
def _open_archive(path, process, *version):
    """An archive, its members by name, and the names of those that are passed over.

    Opened once per `process`, because a forked worker must not share its parent's place in the file, and once per
    `version` of the file.
    """
    archive = zipfile.ZipFile(path)
    members, outside = {}, []
    for info in archive.infolist():
        # As Windows reads a name: with both kinds of slashes and drives.
        name = PureWindowsPath(info.filename)
        if info.filename.endswith(("/", "\\")) or any(part != ".." and hidden(part) for part in name.parts):
            continue
        if name.anchor or ".." in name.parts or stat.S_ISLNK(info.external_attr >> 16):
            outside.append(info.filename)
        else:
            members[name.as_posix()] = info
    return archive, members, outside
