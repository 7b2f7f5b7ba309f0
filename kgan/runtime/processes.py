"""Work spread over processes: results in order, and a process that dies takes nothing else with it."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker

NO_START = (
    "the processes that decode images do not start; call this in the file of a script, "
    'below `if __name__ == "__main__":`'
)


def processors():
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def spread(work, groups, processes, start, arguments, crashed):
    """Calls `work(*arguments)` in other processes.

    When a process dies, nobody knows whose fault it was: what was under way is done once more, one by one, and what
    then takes a process down again is `crashed`.

    Args:
        work: a function that can be pickled.
        groups: iterator of lists of `(key, arguments)`; a group is sent to a process at once, keys stay here.
        processes: their number.
        start, arguments: function that each process calls first, and its arguments.
        crashed: what stands for the result of a call that takes its process down.

    Yields:
        `((key, arguments), result)` in the order they came in.

    Raises:
        ChildProcessError: the processes do not start.
    """

    def open_pool(size):
        pool = ProcessPoolExecutor(size, context, initialise, (start, arguments))
        try:
            submit(pool, os.getpid).result()
        except BrokenProcessPool:
            pool.shutdown()
            raise ChildProcessError(NO_START) from None
        return pool

    def submit_group(group):
        try:
            return submit(pool, each, work, [arguments for _, arguments in group])
        except BrokenProcessPool as error:
            failed = Future()
            failed.set_exception(error)
            return failed

    def one_by_one(group):
        nonlocal pool
        for _, arguments in group:
            try:
                yield submit(pool, work, *arguments).result()
            except BrokenProcessPool:
                pool.shutdown()
                pool = open_pool(1)
                yield crashed

    context = multiprocessing.get_context("spawn")
    # A process that cannot import the script dies before it reads its arguments; if these are more than a pipe holds,
    # the pool would wait for ever. So the first one has none.
    first = context.Process(target=int)
    with uninterrupted():
        first.start()
    first.join()
    if first.exitcode:
        raise ChildProcessError(NO_START)

    groups = iter(groups)
    pool = open_pool(processes)
    waiting = deque()
    try:
        while True:
            while len(waiting) < 2 * processes + 1 and (group := next(groups, None)) is not None:
                waiting.append((group, submit_group(group)))
            if not waiting:
                return
            if not died(waiting[0][1]):
                group, future = waiting.popleft()
                yield from zip(group, future.result(), strict=True)
                continue
            pool.shutdown()
            pool = open_pool(1)
            for group, future in waiting:
                yield from zip(group, one_by_one(group) if died(future) else future.result(), strict=True)
            waiting.clear()
            pool.shutdown()
            pool = open_pool(processes)
    finally:
        pool.shutdown(cancel_futures=True)


def died(future):
    return isinstance(future.exception(), BrokenProcessPool)


def each(work, calls):
    return [work(*arguments) for arguments in calls]


def submit(pool, *call):
    """Submits a call, for which a pool may start a process."""
    with uninterrupted():
        return pool.submit(*call)


@contextlib.contextmanager
def uninterrupted():
    """Processes started in here never see Ctrl-C, which is their parent's business."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where they do see it
        yield
        return
    resource_tracker.ensure_running()  # where it has to be started, it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def initialise(start, arguments):
    """First thing in a new process."""
    # Where the parent is killed, nobody tells its children.
    threading.Thread(target=end_with_parent, daemon=True).start()
    start(*arguments)


def end_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
