"""Parallel work in processes, with ordered results; a crash loses only the call that caused it."""

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

NO_START = 'the worker processes do not start; call this from a script file, below `if __name__ == "__main__":`'


def processors():
    """Returns the number of processors available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def spread(make, options, groups, processes, crashed):
    """Calls a function that each of several worker processes makes for itself; see `Workers`.

    Yields:
        `((key, arguments), result)` in the order of the calls.
    """
    with Workers(make, options, processes, crashed) as workers:
        yield from workers.map(groups)


class Workers:
    """Worker processes, each of which makes a function for itself and then calls it.

    When a worker dies, the call at fault is unknown. The calls under way are therefore repeated one at a time, and a
    call that kills its worker again gets the result `crashed`.

    A daemonic process, such as a worker of Celery or of `multiprocessing.Pool`, may have no children. There, the calls
    are made in the process itself, and one that kills it is not caught.

    Args:
        make, options: picklable function and its arguments; it returns the function to call.
        processes: number of workers.
        crashed: result of a call that kills its worker.

    Raises:
        ChildProcessError: the workers do not start.
    """

    def __init__(self, make, options, processes, crashed):
        self.make, self.options, self.processes, self.crashed = make, options, processes, crashed
        self.pool = None
        if daemonic():
            self.work = make(*options)
            return
        self.context = multiprocessing.get_context("spawn")
        # A worker that cannot import the script dies before it reads its arguments. If they exceed the pipe's capacity,
        # the pool would wait for ever. A first process without arguments detects this.
        first = self.context.Process(target=int)
        with starting():
            first.start()
        first.join()
        if first.exitcode:
            raise ChildProcessError(NO_START)
        self._open(processes)

    def map(self, groups):
        """Calls the function for all arguments in groups.

        Args:
            groups: iterable of lists of `(key, arguments)`. A group is sent to a worker in one message; keys are not
                sent.

        Yields:
            `((key, arguments), result)` in the order of the calls.
        """
        groups = iter(groups)
        if self.pool is None:
            for group in groups:
                yield from ((call, self.work(*call[1])) for call in group)
            return
        waiting = deque()
        while True:
            while len(waiting) < 2 * self.processes + 1 and (group := next(groups, None)) is not None:
                waiting.append((group, self._submit(group)))
            if not waiting:
                return
            if not died(waiting[0][1]):
                group, future = waiting.popleft()
                yield from zip(group, future.result(), strict=True)
                continue
            self._open(1)
            for group, future in waiting:
                yield from zip(group, self._one_by_one(group) if died(future) else future.result(), strict=True)
            waiting.clear()
            self._open(self.processes)

    def _open(self, size):
        """Starts a pool in place of the present one.

        All workers start now. A pool that starts one later, while another one dies, may wait for it for ever.
        """
        if self.pool:
            self.pool.shutdown()
        start = (self.context.Barrier(size), self.make, self.options)
        self.pool = ProcessPoolExecutor(size, self.context, initialise, start)
        try:
            for first_call in [submit(self.pool, os.getpid) for _ in range(size)]:
                first_call.result()
        except BrokenProcessPool:
            self.pool.shutdown()
            raise ChildProcessError(NO_START) from None

    def _submit(self, group):
        try:
            return submit(self.pool, each, [arguments for _, arguments in group])
        except BrokenProcessPool as error:
            failed = Future()
            failed.set_exception(error)
            return failed

    def _one_by_one(self, group):
        for _, arguments in group:
            try:
                yield from submit(self.pool, each, [arguments]).result()
            except BrokenProcessPool:
                self._open(1)
                yield self.crashed

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.pool:
            self.pool.shutdown(cancel_futures=True)


def daemonic():
    """Whether this process may have no children."""
    return multiprocessing.current_process().daemon


def died(future):
    return isinstance(future.exception(), BrokenProcessPool)


def each(calls):
    return [_work(*arguments) for arguments in calls]


def submit(pool, *call):
    """Submits a call to a pool, which may start a process for it."""
    with starting():
        return pool.submit(*call)


@contextlib.contextmanager
def starting():
    """Processes started in this context ignore Ctrl-C, and import nothing from the current folder.

    Python begins a process with `-c`, which puts the current folder first on the path: that of somebody's photos may
    hold a `multiprocessing.py`.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        with uninterrupted():
            yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextlib.contextmanager
def uninterrupted():
    """Processes started in this context ignore Ctrl-C; their parent handles it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where they do receive it
        yield
        return
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def initialise(all_started, make, options):
    """Prepares a new worker."""
    global _work
    # A parent that is killed cannot stop its workers.
    threading.Thread(target=end_with_parent, daemon=True).start()
    _work = make(*options)
    all_started.wait()  # no worker is idle before, so each of the first calls starts one


def end_with_parent():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
