"""Run a program in several processes of this machine; if one dies, start all again.

    KERAS_BACKEND=jax python docs/cluster/launch.py --workers 2 docs/cluster/distill.py build/two

Each process learns its place from the environment variables that `keras.distribution` reads.
A program that keeps checkpoints goes on from its last one.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

LOOPBACK = "127.0.0.1"  # no other machine can reach what listens here


def main():
    """Run the program until it ends well or has died too often; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--restarts", type=int, default=3, help="at most so many (default: 3)")
    parser.add_argument("program", help="a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to the program")
    options = parser.parse_args()
    if options.workers < 1 or options.restarts < 0:
        parser.error("expected at least 1 for --workers and 0 for --restarts")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped, with all processes"))
    for restart in range(options.restarts + 1):
        if restart:
            print(f"starting all processes again ({restart} of {options.restarts})", flush=True)
        deaths = run([options.program, *options.arguments], options.workers)
        if not deaths:
            return 0
        print(*deaths, sep="\n", flush=True)
    print(f"gave up after {options.restarts + 1} starts: their errors stand above", flush=True)
    return 1


def run(command, workers):
    """Run one process per worker to the end, or until one dies; return what was wrong."""
    address = f"{LOOPBACK}:{free_port()}"
    processes = []
    try:
        for i in range(workers):
            place = {
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": str(workers),
                "KERAS_DISTRIBUTION_PROCESS_ID": str(i),
                "JAX_COORDINATOR_BIND_ADDRESS": address,  # unset, process 0 listens everywhere
            }
            processes.append(subprocess.Popen([sys.executable, *command], env=os.environ | place))
            print(f"process {i} of {workers} has the id {processes[i].pid}", flush=True)
        while not any(codes := [process.poll() for process in processes]) and None in codes:
            time.sleep(0.1)
        return [f"process {i} {cause(code)}" for i, code in enumerate(codes) if code]
    finally:  # a process without its peers would wait for them
        for process in processes:
            process.kill()
            process.wait()


def cause(code):
    """Return how a process ended, from its exit status."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"


def free_port():
    """Return a port on which nothing listens, as yet."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
