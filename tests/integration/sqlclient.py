# SPDX-License-Identifier: MIT
"""A connection to a database server, by the C library that the importer uses.

    with Client(db.socket) as c:
        c.rows("SELECT 1")                # [[b"1"]]
"""
import ctypes

MULTI_STATEMENTS, MULTI_RESULTS = 1 << 16, 1 << 17
SET_CHARSET_NAME = 7


class Client:
    lib = None

    def __init__(self, socket, user="root", database=None, several=False):
        """several: a text may hold several statements."""
        if not Client.lib:
            lib = ctypes.CDLL("libmariadb.so.3")
            for name in ("mysql_init", "mysql_real_connect", "mysql_store_result", "mysql_fetch_row",
                         "mysql_fetch_lengths"):
                getattr(lib, name).restype = ctypes.c_void_p
            lib.mysql_error.restype = ctypes.c_char_p
            lib.mysql_num_fields.restype = lib.mysql_errno.restype = ctypes.c_uint
            Client.lib = lib
        self.my = ctypes.c_void_p(self.lib.mysql_init(None))
        self.lib.mysql_options(self.my, SET_CHARSET_NAME, b"utf8mb4")
        flags = MULTI_RESULTS | (MULTI_STATEMENTS if several else 0)  # results: of CALL
        if not self.lib.mysql_real_connect(self.my, None, user.encode(), None, database and database.encode(), 0,
                                           str(socket).encode(), ctypes.c_ulong(flags)):
            error = self.error()
            self.close()
            raise error

    def close(self):
        self.lib.mysql_close(self.my)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def error(self):
        text = self.lib.mysql_error(self.my).decode(errors="replace")
        return RuntimeError(f"ERROR {self.lib.mysql_errno(self.my)}: {text}")

    def rows(self, sql):
        """All rows of all results, as lists of bytes or None; raises RuntimeError."""
        text = sql if isinstance(sql, bytes) else sql.encode()
        if self.lib.mysql_real_query(self.my, text, ctypes.c_ulong(len(text))):
            raise self.error()
        all_rows = []
        while True:
            self.result(all_rows)
            more = self.lib.mysql_next_result(self.my)
            if more > 0:
                raise self.error()
            if more < 0:
                return all_rows

    def result(self, to):
        res = self.lib.mysql_store_result(self.my)
        if not res:
            if self.lib.mysql_errno(self.my):
                raise self.error()
            return
        res = ctypes.c_void_p(res)
        n = self.lib.mysql_num_fields(res)
        while True:
            row = self.lib.mysql_fetch_row(res)
            if not row:
                break
            cells = ctypes.cast(row, ctypes.POINTER(ctypes.c_void_p))
            lengths = ctypes.cast(self.lib.mysql_fetch_lengths(res), ctypes.POINTER(ctypes.c_ulong))
            to.append([ctypes.string_at(cells[i], lengths[i]) if cells[i] else None for i in range(n)])
        self.lib.mysql_free_result(res)

    def try_rows(self, sql):
        try:
            return self.rows(sql)
        except RuntimeError as e:
            return [[str(e).encode()]]
