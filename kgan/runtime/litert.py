"""What every use of LiteRT needs."""

import contextlib
import os
import threading

_standard_error = threading.Lock()  # the whole process has but one


@contextlib.contextmanager
def quiet():
    """Suppresses the message about delegates that LiteRT writes to standard error; no option turns it off."""
    with _standard_error, open(os.devnull, "wb") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # there is none, as in a program with windows or a daemon
            kept = None
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            if kept is None:
                os.close(2)
            else:
                os.dup2(kept, 2)
                os.close(kept)
