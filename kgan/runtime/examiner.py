"""What a worker process does with one untrusted image file after another."""

import logging
import signal

from PIL import Image

from kgan.runtime.files import Undecodable, read_file
from kgan.runtime.processes import daemonic


class Examiner:
    """Base class of functions that look at one image file; `spread` makes one in each worker.

    A subclass defines `examine(data)`, which returns a result or raises `Undecodable`, and `failed(status)`, the result
    of a file that gives none.

    Args:
        limits: `Limits` for one image.
    """

    def __init__(self, limits):
        self.limits = limits
        # In a process of its own, a decoder may be stopped by ending the process, and Pillow's limit is ours to set.
        self.ends = not daemonic() and hasattr(signal, "setitimer")
        if not daemonic():
            Image.MAX_IMAGE_PIXELS = limits.pixels
            logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what a file lacks is in its row

    def __call__(self, path, data):
        """Returns the result for an image.

        Args:
            path: path of a file, or None for an archive member.
            data: bytes of an archive member, or the status with which reading it failed; None for a file.
        """
        if isinstance(data, str):
            return self.failed(data)
        if self.ends:
            # A decoder in C cannot be interrupted from Python, so the signal ends the whole process.
            signal.setitimer(signal.ITIMER_PROF, self.limits.seconds)
        try:
            return self.examine(read_file(path, self.limits.bytes) if path is not None else data)
        except Undecodable as error:
            return self.failed(error.status)
        except MemoryError:
            return self.failed("too_large")
        finally:
            if self.ends:
                signal.setitimer(signal.ITIMER_PROF, 0)
