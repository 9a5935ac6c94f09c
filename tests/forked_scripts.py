"""Scripts that skip their start: forks of one process that has torch and others imported.

To import torch takes a process some five seconds, and the tests start hundreds, most for less than
that: jobs of Snakemake, commands of `td-interference`, benchmarks. `environment` has them forked. A
fork has arguments, working directory, environment, input, outputs and exit status as the process
has them, the package it imports from the tree that it is called in, and it ends when its process is
killed. What it is not: of the process's session. Tests of signals, of kills and of what a start
costs leave `environment` away.

`python forked_scripts.py ADDRESS PIPE` serves scripts at a socket until the pipe's other end is
closed.
"""

import functools
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

STARTS = Path(__file__).parent / "starts"
VARIABLE = "TD_INTERFERENCE_TESTS_FORK_SCRIPTS"
# Of coverage.py: each fork measures for itself, the process that is forked imports nothing of ours.
MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


@functools.cache
def _address() -> str:
    """Start the process that is forked, one for each process of tests; return its address."""
    address = str(Path(tempfile.mkdtemp(prefix="scripts")) / "socket")
    theirs, ours = os.pipe()  # ours is closed when this process ends
    kept = {name: value for name, value in os.environ.items() if name not in MEASURING}
    server = subprocess.Popen(
        [sys.executable, __file__, address, str(theirs)],
        env={**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=[theirs],
        start_new_session=True,
    )
    os.close(theirs)
    os.set_inheritable(ours, False)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    return address


def environment(variables: dict[str, str]) -> dict[str, str]:
    """Return an environment in which scripts are forked, those that others start as well."""
    path = os.pathsep.join(filter(None, [str(STARTS), variables.get("PYTHONPATH")]))
    return {**variables, "PYTHONPATH": path, VARIABLE: _address()}


def _serve(address: str, pipe: int) -> str:
    """Fork for each script; return in the forks alone, the path of the script to run."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that look after a script
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, pipe], [], [])
        if pipe in ready:
            shutil.rmtree(Path(address).parent)
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            os.close(pipe)
            return _look_after(connection)
        connection.close()


def _look_after(connection: socket.socket) -> str:
    """Fork once more and wait, or end the script when the process that asked for it is gone."""
    length, handles, *_ = socket.recv_fds(connection, 8, 3)
    content = connection.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL)
    process = os.fork()
    if process == 0:
        connection.close()
        os.setsid()
        return _become(*json.loads(content), handles)
    select.select([connection, os.pidfd_open(process)], [], [])
    ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.killpg(process, signal.SIGKILL)
        os._exit(0)
    connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True))
    os._exit(0)


def _become(command: list[str], directory: str, environment: dict[str, str], handles) -> str:
    """Take over what the process was started with; return its script."""
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    # Those there are know of the files that they were opened on: that one can seek in them, say.
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(
        2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = command
    packages = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [os.path.dirname(command[0]), *filter(None, packages)]
    if any(name in environment for name in MEASURING):
        import coverage

        coverage.process_startup()
    return command[0]


if __name__ == "__main__":
    # What scripts import of others, but for Polars, which starts threads: a fork has none of them.
    import ale_py.vector_env  # noqa: F401
    import gymnasium.vector  # noqa: F401
    import h5py  # noqa: F401
    import pydantic  # noqa: F401
    import safetensors.torch  # noqa: F401
    import tqdm  # noqa: F401

    assert not any(name.startswith("td_interference") for name in sys.modules)
    assert len(os.listdir("/proc/self/task")) == 1
    gc.freeze()
    runpy.run_path(_serve(sys.argv[1], int(sys.argv[2])), run_name="__main__")
