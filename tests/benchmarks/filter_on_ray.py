"""The filter on Ray against the filter alone, on the same archives, and what is left of a job when parts of it die.

    python tests/benchmarks/filter_on_ray.py PHOTOS --images 20000
    python tests/benchmarks/filter_on_ray.py PHOTOS --images 6000 --kill 5

PHOTOS is a folder of photographs; they are repeated until there are enough, in tar archives of 500. The first command
measures one machine, and Ray with all its processors and with one. The second runs a job on a local cluster of two
nodes, one processor each, of which one is killed at random times, and a job whose driver is killed: each has to give
every image once, with the decision and status of the run on one machine.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

ARCHIVE = 500  # images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photographs, searched at any depth")
    parser.add_argument("--images", type=int, default=20000, metavar="N", help="number of images (default: 20000)")
    parser.add_argument("--kill", type=int, metavar="N", help="kill nodes and drivers N times each, measure no times")
    options = parser.parse_args()
    os.environ["RAY_worker_niceness"] = "0"
    with tempfile.TemporaryDirectory(prefix="kgan-ray-") as folder:
        os.chdir(folder)
        archives = write_archives(options.photos.resolve(), options.images)
        alone, seconds = timed(archives, "alone.parquet")
        expected = rows(["alone.parquet"])
        print(f"one machine, no Ray: {len(expected) / seconds:.1f} images/s")
        if options.kill:
            killed = kill_nodes(archives, options.kill)
            print(f"nodes killed {killed} times: {compared('nodes', expected)}")
            killed = kill_drivers(archives, options.kill)
            print(f"driver killed {killed} times: {compared('drivers', expected)}")
            return
        for processes in (os.cpu_count(), 1):
            _, taken = timed(archives, f"ray-{processes}", "--ray", "--processes", str(processes))
            speed = f"{len(expected) / taken:.1f} images/s, {taken / seconds:.2f} times as long as without"
            print(f"Ray, {processes} processors: {speed}; {compared(f'ray-{processes}', expected)}")


def write_archives(photos, count):
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    names = []
    for start in range(0, count, ARCHIVE):
        names.append(f"{start // ARCHIVE:05d}.tar")
        with tarfile.open(names[-1], "w") as archive:
            for i in range(start, min(start + ARCHIVE, count)):
                archive.add(files[i % len(files)], f"{i:06d}{files[i % len(files)].suffix}")
    return names


def command(archives, out, *more):
    return [sys.executable, "-m", "kgan.cli", "filter", *archives, "--out", out, *more]


def timed(archives, out, *more):
    start = time.perf_counter()
    done = subprocess.run(command(archives, out, *more), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done, time.perf_counter() - start


def rows(paths):
    table = pyarrow.concat_tables(parquet.read_table(path) for path in paths)
    return sorted(zip(*(table[name].to_pylist() for name in ("path", "decision", "status")), strict=True))


def compared(out, expected):
    found = rows(sorted(Path(out).glob("part-*")))
    twice = len(found) - len(set(found))
    return f"{len(found)} rows, {twice} twice, {'equal to' if found == expected else 'NOT THOSE OF'} one machine"


def kill_nodes(archives, times):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    job = subprocess.Popen(command(archives, "nodes", "--ray", cluster.address), stderr=subprocess.PIPE, text=True)
    choose, killed = random.Random(0), 0
    for number in range(times):
        seen = len(list(Path("nodes").glob("part-*")))
        while len(list(Path("nodes").glob("part-*"))) == seen and job.poll() is None:
            time.sleep(0.05)
        time.sleep(choose.uniform(0, 2))
        if job.poll() is not None:
            print(f"the job had ended before node {number + 1} was to be killed")
            break
        node = nodes.pop(choose.randrange(len(nodes)))
        cluster.remove_node(node, allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1))
        killed += 1
    _, messages = job.communicate()
    print(messages.strip().splitlines()[-1])
    cluster.shutdown()
    if job.returncode:
        sys.exit("the job on nodes that were killed has failed")
    return killed


def kill_drivers(archives, times):
    choose = random.Random(0)
    for number in range(times):
        seen = len(list(Path("drivers").glob("part-*")))
        job = subprocess.Popen(
            command(archives, "drivers", "--ray"),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list(Path("drivers").glob("part-*"))) == seen and job.poll() is None:
            time.sleep(0.05)
        time.sleep(choose.uniform(0, 2))
        if job.poll() is not None:
            return number
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    timed(archives, "drivers", "--ray")
    return times


if __name__ == "__main__":
    main()
