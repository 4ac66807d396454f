"""`dv` for tests that start it many times: each a process of its own, forked from one that has loaded the libraries."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    sys.exit(int(server.recv(16) or b"1"))
"""
MOST_BYTES = 1 << 20
ROOT = Path(__file__).parents[2]


@contextmanager
def command() -> Iterator[Path]:
    """The path of a `dv` that does what `dv` does, where it is started and with its streams."""
    with TemporaryDirectory(prefix="dv-") as folder:  # a socket's path must be short
        address, client = Path(folder, "socket"), Path(folder, "dv")
        client.write_text(CLIENT.format(python=sys.executable, address=str(address)), encoding="utf-8")
        client.chmod(0o755)
        loading = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen([sys.executable, __file__, str(address)], env=loading, stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None and server.stdout.readline() == b"ready\n"
            yield client
        finally:
            server.kill()
            server.communicate()


def _serve(address: str) -> None:
    for name in ("engine.bases.load", "engine.composing"):
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who end
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(address)
        waiting.listen()
        print("ready", flush=True)
        while True:
            caller, _ = waiting.accept()
            if os.fork() == 0:
                waiting.close()
                _run(caller)
            caller.close()


def _run(caller: socket.socket) -> None:
    """Be the process that was asked for, and tell how it ended."""
    from dreamvideo_cli.__main__ import start

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, streams, _, _ = socket.recv_fds(caller, MOST_BYTES, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    words = json.loads(asked)
    os.chdir(words["folder"])
    os.environ.clear()
    os.environ.update(words["environment"])
    sys.argv = ["dv", *words["arguments"]]
    code: object = 0
    try:
        start()
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(code if isinstance(code, int) else int(code is not None)).encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
