"""Python runs this first: some scripts are run by a fork of a process that has torch already.

Only where the tests ask for it, see forked_scripts.py: there the address of that process stands in
the environment. The process of the script itself waits, and ends as the fork ends.
"""

import os
import sys

_ADDRESS = os.environ.pop("TD_INTERFERENCE_TESTS_FORK_SCRIPTS", "")

_COMMAND = sys.orig_argv[1:]

if _ADDRESS and _COMMAND and _COMMAND[0].endswith((".py", "/td-interference")):
    import json
    import signal
    import socket

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with socket.socket(socket.AF_UNIX) as _connection:
        _connection.connect(_ADDRESS)
        _call = json.dumps([_COMMAND, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(_connection, [len(_call).to_bytes(8, "little")], [0, 1, 2])
        _connection.sendall(_call)
        _answer = _connection.recv(8, socket.MSG_WAITALL)
    if len(_answer) < 8:
        sys.stderr.write("the process that is forked for scripts has ended\n")
        os._exit(70)
    _code = int.from_bytes(_answer, "little", signed=True)
    if _code < 0:
        if -_code != signal.SIGKILL:
            signal.signal(-_code, signal.SIG_DFL)
        os.kill(os.getpid(), -_code)
    os._exit(_code)
elif _ADDRESS:
    os.environ["TD_INTERFERENCE_TESTS_FORK_SCRIPTS"] = _ADDRESS  # for the scripts that it starts
