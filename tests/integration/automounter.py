#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""automounter.py DIR COMMAND…: an automounter as systemd's: a direct autofs mount on DIR that runs
COMMAND, in its own process group, when somebody looks into DIR. Ends on SIGTERM.

The protocol is the kernel's, include/uapi/linux/auto_fs.h: packets of version 5 from a pipe, answers
by ioctl on the mount's folder."""

import ctypes
import fcntl
import os
import signal
import struct
import subprocess
import sys

MISSING_DIRECT = 5  # autofs_ptype_missing_direct
READY, FAIL = 0x9360, 0x9361  # AUTOFS_IOC_READY, AUTOFS_IOC_FAIL
PACKET = struct.Struct("=iiIIQIIIII256s")  # struct autofs_v5_packet; 4 bytes of padding may follow


def main():
    point, command = sys.argv[1], sys.argv[2:]
    os.setpgrp()
    get, put = os.pipe2(os.O_DIRECT)
    os.set_inheritable(put, True)
    libc = ctypes.CDLL(None, use_errno=True)
    data = "fd=%d,pgrp=%d,minproto=5,maxproto=5,direct" % (put, os.getpgrp())
    if libc.mount(b"automounter", os.fsencode(point), b"autofs", 0, data.encode()) != 0:
        sys.exit("cannot mount autofs: " + os.strerror(ctypes.get_errno()))
    os.close(put)
    root = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    while True:
        packet = os.read(get, 4096)
        if not packet:
            break
        _, kind, token = PACKET.unpack(packet[:PACKET.size])[:3]
        assert kind == MISSING_DIRECT, kind
        code = subprocess.run(command).returncode
        fcntl.ioctl(root, FAIL if code else READY, token)


if __name__ == "__main__":
    main()
