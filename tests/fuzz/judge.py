#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds eefs-sqlimport against a real MariaDB: whatever it accepts stays within its database.

    judge.py --seconds 600 [--seed 7]     plain and hostile dumps, made at random
    judge.py FILE…                        these (the corpus: tests/fuzz/corpus/judge)

After each dump, accepted or not:
  - other databases, accounts, global variables and the files of the data folder are as they were;
  - tables, views, routines, triggers, events and sequences of the live database that the dump does
    not name are as they were;
and after one that is accepted:
  - its tables are those that the mariadb client leaves when it takes the same dump;
  - (of its words: any text and its plain form, which is what runs, give the same on the server)
  - views are read, routines called and triggers set off: nothing outside changes, and nothing of
    another database is seen.
The importer and the calls have all rights of root. A dump that fails is kept in build/fuzz-corpus.
"""
import argparse
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from mariadb import MariaDB  # noqa: E402
from sqlclient import Client  # noqa: E402

BIN = os.environ.get("EEFS_BIN", os.path.abspath("build/bin"))
CORPUS = os.path.join(HERE, "corpus", "judge")
SECRET = "canary-of-another-database"


# --- the world around ---

LIVE = """CREATE TABLE mine (id INT PRIMARY KEY, x VARCHAR(20));INSERT INTO mine VALUES (1,'a'),(2,'b');
CREATE TABLE kept (id INT PRIMARY KEY) ENGINE=MyISAM;INSERT INTO kept VALUES (1);
CREATE VIEW mine_v AS SELECT id FROM mine;CREATE SEQUENCE mine_s;
CREATE PROCEDURE mine_p() SELECT 1;CREATE FUNCTION mine_f() RETURNS INT RETURN 1;
CREATE TRIGGER mine_t BEFORE INSERT ON mine FOR EACH ROW SET NEW.x='t';
CREATE EVENT mine_e ON SCHEDULE EVERY 1 DAY DO SELECT 1"""
MINE = {"mine": "SHOW CREATE TABLE live.mine", "kept": "SHOW CREATE TABLE live.kept",
        "mine_v": "SHOW CREATE VIEW live.mine_v", "mine_s": "SHOW CREATE TABLE live.mine_s",
        "mine_p": "SHOW CREATE PROCEDURE live.mine_p", "mine_f": "SHOW CREATE FUNCTION live.mine_f",
        "mine_t": "SHOW CREATE TRIGGER live.mine_t", "mine_e": "SHOW CREATE EVENT live.mine_e"}
OTHER = f"""CREATE DATABASE other;CREATE TABLE other.secret (a VARCHAR(40), b INT);
INSERT INTO other.secret VALUES ('{SECRET}',1);CREATE TABLE other.t (a INT, b INT);INSERT INTO other.t VALUES (1,2);
CREATE FUNCTION other.f(x INT) RETURNS VARCHAR(40) RETURN (SELECT MAX(a) FROM other.secret);
CREATE PROCEDURE other.p() INSERT INTO other.t VALUES (9,9);CREATE SEQUENCE other.s"""
OUTSIDE = [
    "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT LIKE 'live%' AND "
    "SCHEMA_NAME<>'oracle' ORDER BY 1",
    "SELECT * FROM mysql.global_priv WHERE User<>'oracle' ORDER BY Host, User", "SELECT * FROM mysql.servers",
    "SELECT * FROM mysql.func", "SELECT * FROM mysql.plugin", "SELECT * FROM mysql.roles_mapping",
    "SELECT * FROM mysql.db ORDER BY 1, 2, 3", "SELECT * FROM mysql.tables_priv", "SELECT * FROM mysql.procs_priv",
    "SELECT db, name, body FROM mysql.proc WHERE db NOT IN ('live', 'oracle') ORDER BY 1, 2",
    "SELECT db, name, body FROM mysql.event WHERE db NOT IN ('live', 'oracle') ORDER BY 1, 2",
    "SELECT TABLE_NAME, CREATE_TIME FROM information_schema.TABLES WHERE TABLE_SCHEMA='other' ORDER BY 1",
    "CHECKSUM TABLE other.secret, other.t", "SELECT next_not_cached_value FROM other.s",
    "SHOW GLOBAL VARIABLES WHERE Variable_name NOT LIKE 'gtid%' AND Variable_name NOT LIKE 'innodb_buffer%'"]
STEM = re.compile(r"\.(frm|ibd|MYD|MYI|MAD|MAI|par|TRG|TRN|CSV|CSM|ARZ|isl|opt)$")


def digest(rows):
    return hashlib.sha1(repr(rows).encode()).hexdigest()


class World:
    def __init__(self, folder):
        self.folder = folder
        self.db = MariaDB(os.path.join(folder, "db")).start()
        self.c = Client(self.db.socket)
        self.slot = os.path.join(folder, "slot")
        os.mkdir(self.slot)
        for sql in OTHER.split(";"):
            self.c.rows(sql)
        self.c.rows("CREATE USER oracle@localhost")
        self.c.rows("CREATE DATABASE oracle")
        self.c.rows("GRANT ALL ON oracle.* TO oracle@localhost")
        self.reset()
        self.was = self.outside()

    def close(self):
        self.c.close()
        self.db.close()

    def reset(self):
        """An empty live database but for what no dump names."""
        for name in ("live", "live_eefs_stage", "live_eefs_old"):
            self.c.rows(f"DROP DATABASE IF EXISTS `{name}`")
        self.c.rows("CREATE DATABASE live")
        self.c.rows("USE live")
        for sql in LIVE.split(";"):
            self.c.rows(sql)
        self.mine = self.look()
        self.used = 0

    def look(self):
        found = {name: digest(self.c.try_rows(sql)) for name, sql in MINE.items()}
        found["mine"] += digest(self.c.try_rows("CHECKSUM TABLE live.mine"))
        return found

    def outside(self):
        found = {sql: digest(self.c.try_rows(sql)) for sql in OUTSIDE}
        files = set()
        for at in (self.db.data, self.db.tmp, self.folder):
            for path, folders, names in os.walk(at):
                folders[:] = [f for f in folders if not f.startswith(("live", "oracle", "state", "run", "slot"))
                              and (at != self.folder or f != "db")]
                files |= {os.path.join(path, n) for n in names
                          if not n.startswith(("#sql", "ib", "aria_log", "input", "live", "undo"))
                          and not (STEM.search(n) and path.endswith("/mysql"))}
        found["files"] = sorted(files)
        return found

    def run(self, data):
        with open(os.path.join(self.slot, "live.sql"), "wb") as f:
            f.write(data)
        done = subprocess.run(
            [BIN + "/eefs-sqlimport", "--once", "--slot", self.slot, "--database", "live", "--defaults-file",
             self.db.defaults, "--state", self.folder + "/state", "--rundir", self.folder + "/run"],
            capture_output=True, timeout=200, check=False)
        for name in os.listdir(self.slot):
            os.unlink(os.path.join(self.slot, name))
        if done.returncode not in (0, 1):
            raise Wrong(f"exit {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.returncode == 0, done.stderr.decode(errors="replace")


class Wrong(Exception):
    pass


# --- the checks ---

def check_outside(world, what):
    now = world.outside()
    for key, value in world.was.items():
        if now[key] != value:
            more = set(now[key]) ^ set(value) if key == "files" else ""
            raise Wrong(f"{what}: outside of the database something changed: {key} {more}")


def check_mine(world, data):
    low = data.lower()
    for name, value in world.look().items():
        of_table = name in ("mine_t", "mine_v") and re.search(rb"\bmine\b", low)  # goes with its table
        if value != world.mine[name] and name.encode() not in low and not of_table:
            raise Wrong(f"'{name}', which the dump does not name, is not as it was")


def tables(world, database):
    """Name and what makes it: SHOW CREATE and rows, in which a time of today is one like another: a column may have
    the server's by default."""
    found, today = {}, re.compile(time.strftime(r"%Y-%m-%d [\d:.]*"))
    for name, kind in world.c.rows("SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE "
                                   f"TABLE_SCHEMA='{database}' AND TABLE_NAME NOT LIKE '\\_eefs\\_%'"):
        if kind not in (b"VIEW", b"SYSTEM VIEW") and (database != "live" or name.decode() not in MINE):
            quoted = b"`" + database.encode() + b"`.`" + name.replace(b"`", b"``") + b"`"
            found[name] = (world.c.try_rows(b"SHOW CREATE TABLE " + quoted),
                           sorted(today.sub("now", repr(r)) for r in world.c.try_rows(b"SELECT * FROM " + quoted)))
    return found


NOT_ALIKE = re.compile(rb"\b(USE|DATABASE|SCHEMA|AUTOCOMMIT|ROLLBACK|START|BEGIN|TRANSACTION|COMMIT|SOURCE|"
                       rb"LOCK|UUID|UNIQUE_CHECKS|FOREIGN_KEY_CHECKS|NEXT|SETVAL|TIMESTAMP|NOW|SYSTEM|DELETE)\b", re.I)


def check_same(world, data):
    """False: the client does not take the dump, or means something by it that an import passes over."""
    if NOT_ALIKE.search(data):
        return False
    world.c.rows("DROP DATABASE IF EXISTS oracle")
    world.c.rows("CREATE DATABASE oracle")
    done = subprocess.run(["mariadb", "--no-defaults", "--socket", world.db.socket, "-u", "oracle", "oracle"],
                          input=data, capture_output=True, timeout=60, check=False)
    if done.returncode:
        return False
    live, oracle = tables(world, "live"), tables(world, "oracle")
    for name, made in oracle.items():
        if name.decode(errors="replace") in MINE:
            continue
        if live.get(name) != made:
            raise Wrong(f"table {name!r} is not what the client makes of the dump:\n  live   {live.get(name)}\n"
                        f"  client {made}")
    return True


def check_bodies(world):
    """Everything that can run is run."""
    c = Client(world.db.socket)
    c.rows("SET SESSION max_statement_time=0.2, max_sp_recursion_depth=0, lock_wait_timeout=1, "
           "innodb_lock_wait_timeout=1")
    c.rows("USE live")
    calls = []
    for name, in c.rows("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA='live'"):
        calls.append(b"SELECT * FROM `" + name.replace(b"`", b"``") + b"` LIMIT 50")
    for name, kind in c.rows("SELECT ROUTINE_NAME, ROUTINE_TYPE FROM information_schema.ROUTINES WHERE "
                             "ROUTINE_SCHEMA='live'"):
        calls.append((b"CALL `" if kind == b"PROCEDURE" else b"SELECT `") + name.replace(b"`", b"``") + b"`()")
    for table, in c.rows("SELECT DISTINCT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE "
                         "TRIGGER_SCHEMA='live'"):
        quoted = b"`" + table.replace(b"`", b"``") + b"`"
        calls += [b"INSERT INTO " + quoted + b" VALUES ()", b"UPDATE " + quoted + b" SET id=id+100",
                  b"DELETE FROM " + quoted + b" LIMIT 1"]
    for body, in c.rows("SELECT EVENT_DEFINITION FROM information_schema.EVENTS WHERE EVENT_SCHEMA='live'"):
        c.try_rows("DROP PROCEDURE IF EXISTS run_event")
        c.try_rows(b"CREATE PROCEDURE run_event() " + body)
        calls.append(b"CALL run_event()")
    seen = [c.try_rows(call) for call in calls]
    c.try_rows("ROLLBACK")
    seen.append(world.c.try_rows("SELECT * FROM live.log"))
    c.close()
    if SECRET in repr(seen):
        raise Wrong("a body shows what is in another database")
    return len(calls)


def judge(world, data, count):
    accepted, said = world.run(data)
    count["dumps"] += 1
    if not accepted:
        why = re.sub(r"^.*?live\.sql': ", "", said.split("; the dump stays")[0], flags=re.S)
        count["server" if re.search(r"error \d+:", why) else "refused"] += 1
    check_outside(world, "the import")
    check_mine(world, data)
    if accepted:
        count["accepted"] += 1
        count["alike"] += check_same(world, data)
        count["bodies"] += check_bodies(world)
        check_outside(world, "a body")
    world.used += 1
    if accepted or "imported the tables" in said or world.used > 50:
        world.reset()
    return accepted, said


# --- making dumps ---

EVIL = re.compile(r"other`? ?\.|LOAD_FILE|mysql\.|GRANT|PASSWORD|FLUSH|hacked|OUTFILE|PREPARE|EXECUTE|RENAME|GLOBAL|@@global|"
                  r"DIRECTORY|FEDERATED|MERGE UNION|=MERGE|AS SELECT|SELECT 1 AS a$|LIKE |gbk|'28'|SEQUENCE=1|TEMPORARY|RETURNING|"
                  r"SLEEP|sql_mode=@x|DROP DATABASE|'\\\\$|ORACLE|USE INDEX FOR ORDER BY \(\)$")

class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.evil = self.r.choice([.02, .1, .4])  # how often what is surely refused is taken

    def one(self, *items):
        for _ in range(8):
            item = self.r.choice(items)
            if self.r.random() < self.evil or not EVIL.search(str(item)):
                break
        return item

    def some(self, of, low, high):
        return [of() for _ in range(self.r.randint(low, high))]

    def chance(self, p):
        return self.r.random() < p

    def fill(self, text, deep):
        """«E» an expression, «Q» a query, «S» a statement, «T» a table, «F» a factor, «C» a column."""
        makers = {"E": self.expression, "Q": self.query, "S": self.statement, "F": self.factor,
                  "T": lambda _: self.table(), "C": lambda _: self.column()}
        return re.sub("«(.)»", lambda m: makers[m[1]](deep + 1), text)

    # names and values

    def name(self):
        return self.one("t", "u", "log", "v", "x", "`t`", "`u`", "`a b`", "`q``q`", "`other`", "other", "`Ünï`",
                        "mine", "T", "2fa", "`select`", "`;`", "`/*`", "`--`", "p", "f", "`é`", "view", "event")

    def column(self):
        return self.one("id", "a", "b", "`c`", "`end`", "`order`", "value", "`x y`")

    def string(self):
        return self.one("'a'", "'it''s'", "'a\\'b'", "'\\\\'", "'/*'", "'*/'", "'-- x'", "';'", "'\\n'", "\"dq\"",
                        "'é'", "''", "'\\0'", "'/*!99999'", "_utf8mb4'x'", "_binary 'x'", "x'4142'", "N'x'",
                        "'" + "z" * self.r.randint(1, 90) + "'", "'\\", "'--\n'", "'#'", "'),('")

    def value(self):
        return self.one("NULL", "0", "1", "-1", "1.5", "1e3", "-.5", ".5", "DEFAULT", "0xFF", "b'1'", "TRUE", "1e-3",
                        str(self.r.randint(0, 10**6)), self.string(), self.string(), "+1")

    def type(self):
        return self.one("int", "int(11) unsigned", "varchar(20)", "text", "enum('a','b')", "decimal(10,2)", "date",
                        "varchar(20) CHARACTER SET latin1 COLLATE latin1_bin", "blob", "double", "bit(3)",
                        "char(3)", "datetime(6)", "json", "bigint zerofill", "set('x','y')", "inet6", "year")

    def attribute(self):
        return self.one("NOT NULL", "NULL", "DEFAULT NULL", "DEFAULT 'a'", "DEFAULT 1", "COMMENT 'c'", "UNIQUE",
                        "DEFAULT (1+1)", "INVISIBLE", "CHECK (id > 0)", "AS (id+1)", "DEFAULT uuid()", "COMPRESSED",
                        "DEFAULT (LOAD_FILE('/etc/passwd'))", "DEFAULT (other.f(1))", "REFERENCES other.t(a)",
                        "DEFAULT nextval(other.s)", "COLLATE utf8mb4_bin", "DEFAULT current_timestamp()")

    # queries and statements

    def table(self):
        return self.one("t", "u", "t", "u", "log", "`t`", "other.t", "`other`.`secret`", "other.secret", "mine",
                        "information_schema.TABLES", "live.t", "mysql.global_priv", ".t", "other .t", "other. secret")

    def factor(self, deep=0):
        if deep > 3 or self.chance(.5):
            return self.table() + self.one("", "", " x", " AS other", " value", " `s`", " USE INDEX FOR ORDER BY ()",
                                           " FORCE INDEX FOR JOIN ()", " PARTITION (p0)", " window", " end", " do")
        return self.fill(self.one(
            "(«F», «F»)", "(«F» JOIN «F»)", "(«F» CROSS JOIN «F»)", "(«F»)", "(«Q») d", "(«Q») AS other", "(«Q») value",
            "(«Q») q (a)", "«F» LEFT JOIN «F» ON «E»", "«F» JOIN «F» USING (id)", "«F» STRAIGHT_JOIN «F»",
            "«F» NATURAL JOIN «F»", "«F» JOIN «F» ON t.id=u.id", "«F» JOIN «F» ON 1"), deep)

    def expression(self, deep=0):
        if deep > 3 or self.chance(.5):
            return self.one("1", "id", "t.id", "u.a", "t.`end`", "'x'", "NOW()", "x.id", "other.a", "@v", "NULL", "*",
                            "@@version", "end", "do", "`other`.`t`.`a`", "other.secret.a", "secret.a", "live.t.id", "a")
        return self.fill(self.one(
            "(«E» + «E»)", "CASE WHEN «E» THEN «E» ELSE «E» END", "CASE «E» WHEN «E» THEN («E») END", "«E» = «E»",
            "EXTRACT(YEAR FROM «E»)", "BINARY «E»", "TRIM(LEADING 'x' FROM «E»)", "IF(«E»,«E»,«E»)", "other.f(«E»)",
            "(«Q»)", "f()", "VALUES(«C»)", "REPLACE(«E»,'a','b')", "`other`.`f`(1)", "CONVERT(«E» USING utf8mb4)",
            "LOAD_FILE('/etc/passwd')", "EXISTS («Q»)", "«E» IN («Q»)", "NEXTVAL(other.s)", "NEXT VALUE FOR other.s",
            "mysql.f(1)", "GROUP_CONCAT(«E» ORDER BY «E»)", "COUNT(*) OVER (PARTITION BY «E»)"), deep)

    def query(self, deep=0):
        q = self.one("SELECT ", "SELECT ", "SELECT STRAIGHT_JOIN ", "SELECT DISTINCT ") + \
            ", ".join(self.some(lambda: self.expression(deep + 1) + self.one("", " AS c" + str(self.r.randint(0, 99))),
                                1, 3))
        if self.chance(.85):
            q += " FROM " + self.one(", ", ",", " , ").join(self.some(lambda: self.factor(deep + 1), 1, 3))
        if self.chance(.3):
            q += f" WHERE {self.expression(deep + 1)}"
        if self.chance(.1):
            q += self.one(" GROUP BY id", " ORDER BY 1", " LIMIT 1", " HAVING 1", " FOR UPDATE", " INTO @v")
        if self.chance(.1):
            q += f" UNION {self.one('', 'ALL ')}{self.query(deep + 1)}"
        return q

    def statement(self, deep=0):
        if deep < 3 and self.chance(.4):
            return self.fill(self.one(
                f"BEGIN «S»; «S»; END", f"IF «E» THEN «S»; ELSE «S»; END IF", f"l: BEGIN «S»; END l",
                f"CASE «E» WHEN 1 THEN «S»; ELSE «S»; END CASE", f"WHILE 0 DO «S»; END WHILE",
                f"BEGIN DECLARE do INT; DECLARE `end` INT; DECLARE EXIT HANDLER FOR {self.one('SQLEXCEPTION', 'NOT FOUND', '1062')} "
                f"«S»; «S»; END", f"REPEAT «S»; UNTIL 1 END REPEAT", f"FOR i IN (SELECT 1 AS a) DO «S»; END FOR",
                f"IF CASE WHEN 1 THEN BINARY {self.one('end', '1')} ELSE (2) END THEN «S»; END IF",
                f"BEGIN NOT ATOMIC «S»; END"), deep)
        return self.fill(self.one(
            "«Q»", f"INSERT INTO «T» {self.one('(a)', '', '(id)')} «Q»",
            f"INSERT {self.one('', 'IGNORE ', 'INTO ')}«T» VALUES («E», «E»)",
            f"INSERT INTO log «Q»", f"INSERT INTO log (a) VALUES ((«Q»))",
            f"UPDATE «F» SET «C»=«E»", f"DELETE FROM «T» WHERE «E»",
            f"DELETE «T» FROM «F»", f"REPLACE «T» VALUES («E»)",
            f"CALL {self.one('p', 'other.p', 'live.p')}()", f"SET @v = «E»", f"SET {self.one('GLOBAL ', '@@global.', '')}"
            f"max_connections=77", "FLUSH TABLES", "CREATE DATABASE hacked", "GRANT ALL ON *.* TO hacked@localhost",
            "CREATE USER hacked", "SET PASSWORD FOR oracle@localhost=''", f"TRUNCATE «T»",
            f"DROP TABLE «T»", f"CREATE TEMPORARY TABLE tmp AS «Q»",
            f"CREATE TABLE «T» (a INT)", f"CREATE TABLE new LIKE «T»", "DROP DATABASE other",
            f"ALTER TABLE «T» ADD z INT", f"SELECT 1 INTO OUTFILE '/tmp/eefs-judge-{os.getpid()}'",
            "PREPARE s FROM 'DROP TABLE other.t'", "EXECUTE IMMEDIATE 'DROP TABLE other.t'", "DO 1", "COMMIT",
            "SIGNAL SQLSTATE '45000'", f"DO «E»", f"RENAME TABLE «T» TO other.z", "RETURN 1",
            f"OPTIMIZE TABLE «T»", f"INSERT INTO «T» VALUES (1,2) ON DUPLICATE KEY UPDATE "
            f"«C»=«E»"), deep + 1)

    # what a dump holds

    def create_table(self, name=None):
        columns = ["`id` int(11) NOT NULL"] + [
            f"{c} {self.type()} {' '.join(self.some(self.attribute, 0, 1))}"
            for c in self.r.sample(["`a`", "b", "`c`", "`x y`"], self.r.randint(0, 3))]
        keys = self.r.sample(["PRIMARY KEY (`id`)", "KEY `k` (`id`)", "UNIQUE KEY u (id)", "CHECK (id > 0)",
                              "CONSTRAINT fk FOREIGN KEY (id) REFERENCES other.t (a)",
                              "FOREIGN KEY (id) REFERENCES t (id)"], self.r.choice([0, 1, 1, 1, 2]))
        tail = self.one("", "", " ENGINE=InnoDB", " ENGINE=MyISAM DEFAULT CHARSET=utf8mb4", " ENGINE=Aria", " COMMENT='x'",
                        " ENGINE=MERGE UNION=(other.t)", " DATA DIRECTORY='/tmp'", " PARTITION BY HASH (id) PARTITIONS 2",
                        " AS SELECT * FROM other.secret", " SELECT 1 AS a", " LIKE other.t", " ENGINE=FEDERATED "
                        "CONNECTION='mysql://root@localhost/other/t'", " PARTITION BY HASH (id) (PARTITION p0 ENGINE=MERGE)",
                        " WITH SYSTEM VERSIONING", " SEQUENCE=1", " ENGINE=CSV")
        return f"CREATE {self.one('', '', '', 'OR REPLACE ', 'TEMPORARY ')}TABLE {self.one('', 'IF NOT EXISTS ')}" \
               f"{name or self.name()} ({', '.join(columns + keys)}){tail}"

    def insert(self, columns=None):
        rows = self.one(",", ",\n", " , ").join(
            "(" + ",".join(self.some(self.value, columns or 1, columns or 3)) + ")" for _ in range(self.r.randint(1, 4)))
        return f"{self.one('INSERT INTO', 'INSERT IGNORE INTO', 'REPLACE INTO', 'INSERT')} {self.one('t', '`t`', self.name())} " \
               f"{self.one('', '(id)', '(`id`,`a`)')} VALUES {rows}" \
               f"{self.one('', '', '', ' ON DUPLICATE KEY UPDATE id=SLEEP(0)', ' RETURNING id')}"

    def stored(self):
        definer = self.one("", "", "DEFINER=`root`@`localhost` ", "DEFINER=CURRENT_USER ", "DEFINER=nobody@'%' ")
        name = self.one("p", "f", "v", "w", "mine_p", "tr", "`ev`", "`míne_p`", "`MINE_f`", "`mïne_e`", "`mine_é`")
        return self.fill(self.one(
            f"CREATE {self.one('', 'OR REPLACE ')}{self.one('', 'ALGORITHM=MERGE ')}{definer}VIEW {name} AS «Q»",
            f"CREATE {definer}TRIGGER {name} {self.one('BEFORE', 'AFTER')} {self.one('INSERT', 'UPDATE')} ON t FOR EACH ROW "
            f"«S»", f"CREATE {definer}PROCEDURE {name}() «S»",
            f"CREATE {definer}FUNCTION {name}() RETURNS varchar(40) {self.one('', 'DETERMINISTIC ')}"
            f"{self.one('RETURN («Q»)', '«S»', 'BEGIN «S»; RETURN 1; END')}",
            f"CREATE {definer}EVENT {name} ON SCHEDULE EVERY 1 DAY DO «S»"), 0)

    def hostile(self):
        return self.one(
            "CREATE DATABASE hacked", "CREATE USER hacked", "CREATE ROLE view", "CREATE USER event", "DROP TABLE other.t",
            "CREATE SERVER view FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')", "DROP DATABASE other", "DROP DATABASE live",
            "SET GLOBAL max_connections=77", "GRANT ALL ON *.* TO hacked@localhost", "CREATE TABLE other.u (a INT)",
            "INSERT INTO other.t VALUES (1,1)", "DELETE FROM mine", "TRUNCATE mine", "DROP TABLE mine", "USE other",
            "RENAME TABLE mine TO other.mine", "CREATE VIEW other.v AS SELECT 1", "CREATE PROCEDURE other.q() SELECT 1",
            "CREATE TRIGGER other.x BEFORE INSERT ON other.t FOR EACH ROW SET @a=1", "DROP PROCEDURE mine_p",
            f"SELECT 'x' INTO OUTFILE '/tmp/eefs-judge-{os.getpid()}'", "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
            "CREATE TABLE _eefs_state (id INT)", "INSERT INTO _eefs_renames VALUES (1)", "ALTER DATABASE other CHARSET latin1",
            "CREATE TABLE u2 LIKE other.secret", "CREATE TABLE u2 SELECT * FROM other.secret", "INSTALL SONAME 'ha_archive'",
            "SET PASSWORD = 'x'", "LOAD DATA INFILE '/etc/passwd' INTO TABLE t", "PREPARE s FROM 'DROP TABLE other.t'",
            "EXECUTE IMMEDIATE 'DROP DATABASE other'", "ALTER TABLE other.t ADD KEY (a)", "ALTER TABLE t RENAME other.z",
            "ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES other.t (a)", "ALTER TABLE mine ADD z INT", "CALL other.p()",
            "DO other.f(1)", "CREATE INDEX i ON other.t (a)", "SET @x = other.f(1)", "DELETE FROM other.t",
            "SELECT SETVAL(other.s, 99)", "DO SETVAL(other.s, 99)", "KILL 1", "SHUTDOWN", "LOCK TABLES other.t WRITE",
            "CREATE PACKAGE pk AS PROCEDURE a(); END", "HANDLER other.t OPEN", "ALTER TABLE t ENGINE=MERGE UNION=(other.t)",
            "CREATE SEQUENCE other.s2", "FLUSH TABLES", "RESET MASTER", "SET STATEMENT x=1 FOR DROP TABLE other.t")

    def setting(self):
        return self.one("SET NAMES utf8mb4", "SET NAMES utf8mb4", "SET sql_mode='NO_AUTO_VALUE_ON_ZERO'", "SET NAMES utf8mb4", "SET NAMES latin1", "SET NAMES gbk", "SET sql_mode='ANSI_QUOTES'", "SET NAMES utf8",
                        "SET sql_mode='NO_BACKSLASH_ESCAPES'", "SET sql_mode=''", "SET sql_mode='ORACLE'",
                        "SET character_set_client='latin1'", "SET character_set_client='28'", "SET NAMES ujis",
                        "/*!40101 SET @saved_cs_client=@@character_set_client */", "SET time_zone='+00:00'",
                        "SET character_set_client=@saved_cs_client", "SET NAMES binary", "SET sql_mode=@x",
                        "SET sql_mode='NO_AUTO_VALUE_ON_ZERO'", "SET sql_mode='ansi_quotes,no_backslash_escapes'")

    # disguises: what hides from a reader that is not the server

    def opener(self):
        return self.one("/*!", "/*M!") + self.one("", "50000", "50001", "40101", "50700", "80000", "99999", "100100", "101199",
                                                  "100000", "999999", "050001", "5070", "990000") + self.one("", " ")

    def disguise(self, text):
        parts = re.findall(r"'(?:[^'\\]|\\.|'')*'|`(?:[^`]|``)*`|\w+|\s+|.", text, re.S)
        for _ in range(self.r.choice([0, 0, 0, 1, 1, 2, 4])):
            at = self.r.randint(0, len(parts))
            to = min(len(parts), at + self.r.randint(0, 4))
            kind = self.r.random()
            if kind < .35:
                parts[at:to] = [self.opener()] + parts[at:to] + [self.one(" */", "*/", "*/", "")]
            elif kind < .5:
                parts.insert(at, self.one("/* c */", "/**/", "-- x\n", "#x\n", "/*!*/", "/*+ x */", "/*M!*/", "-- */\n", "# /*!\n", "/*/", "*/", "/*", "--", "/*!99999 ' */",
                                          "/*!50001 ' */", "/*!80000 VIEW v AS SELECT 1 -- */", "/*!99999 VIEW v */"))
            elif kind < .6:
                del parts[at:to]
            elif kind < .7 and parts:
                parts.insert(at, self.r.choice(parts))
            elif kind < .8:
                parts.insert(at, self.one("'", '"', "`", "\\", ";", ";;", "\xa0", "\x01", "\0", ".", "..", "@", "(", ")", ",", "é",
                                          "\x0b", "$$", "\\N", "{", "}", "--\x01", "??", "/", "*", "!"))
            else:
                parts.insert(at, self.one(" OR REPLACE ", " IF NOT EXISTS ", " VIEW ", " EVENT ", " DATABASE ", " SELECT ", " END ",
                                          " other.", "other.t", " AS ", " TABLE ", " INTO ", " FROM ", ", other.secret ", " THEN ",
                                          " DO ", " BEGIN ", " DEFINER=x ", " LIKE other.t ", " UNION SELECT 1 ", " CASE ", " ON "))
        return "".join(parts)

    def dump(self):
        parts = [self.setting() for _ in range(self.r.choice([0, 0, 0, 1, 2]))]
        wild = self.r.random()
        d = self.disguise if wild < .6 else lambda x: x
        parts += ["CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(40), b INT)", "INSERT INTO t (id, a) VALUES (1,'x'),(2,'y')",
                  "CREATE TABLE u (id INT, a INT)", "CREATE TABLE log (a TEXT)"][: self.r.choice([1, 4, 4, 4])]
        for _ in range(self.r.choice([1, 1, 1, 2, 3])):
            kind = self.r.random() * (1 if self.chance(self.evil * 2) else .75)
            if kind < .2:
                name = self.one("n1", "`n 2`", self.name())
                parts += [d(self.create_table(name)), f"INSERT INTO {name} (id) VALUES ({self.r.randint(1, 9)})"]
            elif kind < .35:
                parts.append(d(self.insert(self.one(None, 3))))
            elif kind < .7:
                parts.append(d(self.stored()))
            elif kind < .75:
                parts.append(d(self.setting()))
            else:
                parts.append(self.disguise(self.hostile()))
        text = "-- MySQL dump 10.13\n"
        for p in parts:
            if ";" in p and self.chance(.9):
                text += f"DELIMITER ;;\n{p};;\nDELIMITER ;\n"
            else:
                text += p + self.one(";\n", ";", ";\n\n")
        text += "\n-- Dump completed on 2026-01-01  0:00:00\n"
        return bytes(b for b in text.encode("utf-8").replace(b"\xc2\xa0", b"\xa0"))


# --- what the server reads ---

PIECES = ["1", "+", "-", "--", "+1", "-1", " ", "  ", "\n", "/*", "*/", "/*!", "/*M!", "/*!50000", "/*!50699 ", "/*!50700",
          "/*!80000 ", "/*!99999", "/*!100100 ", "/*!101199", "/*!999999", "/*M!50000 ", "/*M!100100", "/*M!990000 ", "-- ",
          "--\x01", "#", "'a'", "'", "`", '"', "\\", "'\\''", "''", '"b"', "`c`", "a", ".", "e", "E5", "1e", "0x", "0x41",
          "x'41'", "b'1'", "_utf8", "_utf8'x'", "@v", "@", "@@", "@@sql_mode", "(", ")", "(1)", ",", "*", "/", "!", "\x0b",
          "\xa0", "\xc3", "\xa9", "\xc3\xa9", "2fa", "1.", "1..2", ".5", "$", "null", "AS x", "/**/", "/*/", "/*!*/", "*/*",
          "|", "||", "&&", "=", ":=", "\x00", "{d '2020-01-01'}", "{", "N'x'", "%", "mod", "/*+ x */", "\t", "\x7f",
          "/*!050001", "/*!5000", "/* c */", "# c\n", "-- c\n", "--\tc'\n", "/*'*/", "/*\xc3\xa9*/", "/*M*/", "/* ! */", "/* -- */",
          "-- */\n", "# /*\n", "/*\\*/", "/*;*/", "/***/"]
BODY = b"CREATE PROCEDURE p() "  # whose comments are kept
MODES = [("", 0, 0), ("NO_BACKSLASH_ESCAPES", 1, 0), ("ANSI_QUOTES", 0, 1)]


def read_alike(world, seed, seconds):
    """A text and its plain form give the same on the server, or the same error, also as a body with its comments, and
    when a dump puts that into a versioned comment."""
    helper = os.path.join(os.path.dirname(BIN), "tests/integration/plain")
    version = [int(x) for x in world.c.rows("SELECT VERSION()")[0][0].split(b"-")[0].split(b".")]
    r, c, n = random.Random(seed), Client(world.db.socket), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        mode, no_escapes, ansi = r.choice(MODES)
        c.rows(f"SET NAMES utf8mb3, sql_mode='{mode}', @v=7")
        texts = [("SELECT " + r.choice(["1 ", "1+", "", "'x' ", "1,"]) +
                  "".join(r.choice(PIECES) for _ in range(r.randint(1, 9)))).encode("latin1") for _ in range(300)]
        head = r.choice([b"", BODY])
        done = subprocess.run([helper, "1", "%d%02d%02d" % tuple(version), str(no_escapes), str(ansi)], check=True,
                              input=b"".join((head + t).hex().encode() + b"\n" for t in texts), capture_output=True)
        for text, plain in zip(texts, done.stdout.split(b"\n")):
            if plain == b"-":
                continue
            plain = bytes.fromhex(plain.decode())
            assert plain.startswith(head)
            plain = plain[len(head):]
            try:
                was = c.rows(text)
            except RuntimeError:
                was = None
            try:
                now = c.rows(plain)
                if head and was is not None:
                    now = c.rows(b"/*!50000 " + plain + b" */")
            except RuntimeError:
                now = None
            if was != now:
                raise Wrong(f"{text!r} is {was} for the server, and its plain form {plain!r} is {now} ({mode})")
            n += was is not None
    c.close()
    return n


# --- running ---

def keep(data, name):
    folder = os.path.join("build", "fuzz-corpus")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--on", action="store_true", help="go on after a failure")
    p.add_argument("--why", action="store_true", help="print what became of each")
    p.add_argument("files", nargs="*")
    a = p.parse_args()
    seed = a.seed if a.seed is not None else random.randrange(1 << 30)
    given = bool(a.files)
    count = dict.fromkeys(("dumps", "accepted", "refused", "server", "alike", "bodies", "texts", "wrong"), 0)
    end = time.monotonic() + a.seconds
    with tempfile.TemporaryDirectory(prefix="eefs-judge-") as folder:
        world = World(folder)
        try:
            count["texts"] = read_alike(world, seed, 1 if given else a.seconds / 10)
            while a.files or (not given and time.monotonic() < end):
                if a.files:
                    name = a.files.pop(0)
                    with open(name, "rb") as f:
                        data = f.read()
                else:
                    name = f"judge-{seed}.sql"
                    data = Maker(seed).dump()
                try:
                    accepted, said = judge(world, data, count)
                    if a.why:
                        print(name, "accepted" if accepted else said.strip().split("live.sql': ")[-1][:150], flush=True)
                except (Wrong, subprocess.TimeoutExpired) as e:
                    count["wrong"] += 1
                    print(f"{name}: {e}\n  kept as {keep(data, os.path.basename(name))}", flush=True)
                    if not a.on:
                        return 1
                    world.close()
                    world.db.own = True
                    subprocess.run(["rm", "-rf", folder + "/db", folder + "/slot"], check=False)
                    world = World(folder)
                seed += 1
        finally:
            world.close()
    print(", ".join(f"{n} {k}" for k, n in count.items()), "; next seed", seed)
    return 1 if count["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
