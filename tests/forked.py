"""Calls of Snakemake that skip its start: forks of one process that has it imported already.

To import Snakemake takes two seconds, and the tests call it some two hundred times. A fork has
working directory, environment, arguments, output, session and exit status as the command has them;
the package it imports from the tree that it is called in. Tests of signals, and of what a call
costs, start the command itself.

`python forked.py NUMBER` serves calls on the socket of that number until the other end is closed.
"""

import array
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

SNAKEMAKE = Path(sys.executable).parent / "snakemake"
# Of coverage.py: each fork measures for itself, the process that is forked imports nothing of ours.
MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


@functools.cache
def _server() -> socket.socket:
    """Start the process that is forked, one for each process of tests; return its socket."""
    ours, theirs = socket.socketpair()
    kept = {name: value for name, value in os.environ.items() if name not in MEASURING}
    subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        env=kept,
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    return ours


def _number(connection: socket.socket) -> int:
    received = connection.recv(8, socket.MSG_WAITALL)
    if len(received) < 8:
        raise RuntimeError("the process that is forked to call Snakemake has ended")
    return int.from_bytes(received, "little", signed=True)


def snakemake(
    arguments, directory, *, environment: dict[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess:
    """Call `snakemake` with arguments to its end, or end it with all that it started.

    Raises `subprocess.TimeoutExpired` after so many seconds.
    """
    command = [str(SNAKEMAKE), *map(str, arguments)]
    environment = dict(os.environ if environment is None else environment)
    call = json.dumps([command, str(directory), environment]).encode()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        server = _server()
        handles = array.array("i", [said.fileno(), errors.fileno()])
        server.sendmsg(
            [len(call).to_bytes(8, "little")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)]
        )
        server.sendall(call)
        process = _number(server)
        server.settimeout(timeout)
        try:
            code = _number(server)
        except BaseException as error:
            os.killpg(process, signal.SIGKILL)
            server.settimeout(None)
            _number(server)
            if isinstance(error, TimeoutError):
                raise subprocess.TimeoutExpired(command, timeout) from None
            raise
        finally:
            server.settimeout(None)
        texts = []
        for file in (said, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *texts)


def _serve(connection: socket.socket) -> None:
    """Fork for each call, one at a time; return in the forks alone."""
    while True:
        length, handles, *_ = socket.recv_fds(connection, 8, 2)
        if not length:
            sys.exit()
        content = connection.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL)
        process = os.fork()
        if process == 0:
            os.setsid()
            connection.close()
            _become(*json.loads(content), handles)
            return
        for handle in handles:
            os.close(handle)
        connection.sendall(process.to_bytes(8, "little", signed=True))
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        connection.sendall(code.to_bytes(8, "little", signed=True))


def _become(command: list[str], directory: str, environment: dict[str, str], handles) -> None:
    """Take over what a process is started with."""
    for number, handle in enumerate(handles, start=1):
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = command
    packages = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(SNAKEMAKE.parent), *filter(None, packages)]
    sys.modules["__main__"].__file__ = command[0]
    if any(name in environment for name in MEASURING):
        import coverage

        coverage.process_startup()


if __name__ == "__main__":
    # What Snakemake and the Snakefile import of others; the parser looks for all plugins.
    import ale_py  # noqa: F401
    import gymnasium  # noqa: F401
    import jsonschema  # noqa: F401
    import snakemake.cli

    assert not any(name.startswith("td_interference") for name in sys.modules)
    snakemake.cli.get_argument_parser()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(snakemake.cli.main())
