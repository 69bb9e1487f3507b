"""Becomes another program, under another account if one is named, that ends when its parent does.

A script for `process.Child` alone: `child.py PARENT_PID SIGNAL ACCOUNT PROGRAM [ARGUMENT...]`. It runs before the
program does, in the program's own process, because a function between fork and exec is not safe beside threads.
"""

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2): the kernel sends this process a signal when its parent ends, however it ends."""


def main(parent: int, signal: int, account: str, command: list[str]) -> None:
    libc = ctypes.CDLL(None)
    if account:
        user = pwd.getpwnam(account)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    # After the account: the kernel forgets the wish when a process changes its user.
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal)
    if os.getppid() == parent:  # else it died before the wish was known
        os.execv(command[0], command)  # noqa: S606 (the caller's own command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
