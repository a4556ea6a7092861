"""Becomes a command that is told to end when whoever started it dies, however that died.

``python mortal.py PARENT_PID COMMAND...``. The process is the command's own: signals and exit
codes are as without this.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def mortal(*command: str) -> list[str]:
    """A command that does not outlive this process, nor the thread that starts it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: str, *command: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() == int(parent):  # else it died before the kernel was asked to tell
        os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
