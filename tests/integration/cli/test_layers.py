# SPDX-License-Identifier: MIT
"""check-layers, over a project of two rooms: what goes against their direction is refused by name."""
import os
import pathlib
import shutil
import subprocess

import pytest

CHECK = pathlib.Path(__file__).parents[2] / 'check-layers'
MAKEFILE = 'rooms:\n\t@echo "sync/low:"; echo "sync/high: sync/low"\n'
UNITS = {
    'sync/low/one.c': '#include "sync/low/one.h"\nint one(void) { return 1; }\n',
    'sync/low/one.h': 'int one(void);\n',
    'sync/low/two.c': '#include "sync/low/one.h"\nint two(void) { return one() + one(); }\n',
    'sync/high/top.c': '#include "sync/low/one.h"\nint top(void) { return one(); }\n',
    'sync/high/top.h': 'int top(void);\n',
}


@pytest.fixture
def project(tmp_path):
    class Project:
        root = tmp_path

        def write(self, path, text):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)

        def run(self):
            """The check's exit status and what it said."""
            r = subprocess.run([tmp_path / 'tests/check-layers'], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd='/', env={**os.environ, 'MAKEFLAGS': '-n'})
            return r.returncode, r.stdout

        def check(self):
            """The same after all objects are built."""
            for unit in tmp_path.glob('sync/**/*.c'):
                obj = tmp_path / 'build' / unit.relative_to(tmp_path).with_suffix('.o')
                obj.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(['gcc', '-w', '-I.', '-c', '-o', obj, unit], cwd=tmp_path, check=True)
            return self.run()

    p = Project()
    p.write('Makefile', MAKEFILE)
    (tmp_path / 'tests').mkdir()
    shutil.copy(CHECK, tmp_path / 'tests/check-layers')
    for path, text in UNITS.items():
        p.write(path, text)
    return p


def test_direction_kept(project):
    assert project.check() == (0, 'check-layers: good\n')


def test_include_against_the_direction(project):
    project.write('sync/low/two.c', '\n#include "sync/high/top.h"\nint two(void) { return 2; }\n')
    assert project.check() == (1, "check-layers: sync/low/two.c:2: 'sync/low' may not include "
                                  "'sync/high/top.h' (it sees: no other room)\n")


def test_include_of_a_system_header_that_belongs_elsewhere(project):
    project.write('sync/low/two.h', '#include <curl/curl.h>\n')
    code, said = project.check()
    assert code == 1 and 'sync/low/two.h:1: <curl/curl.h> belongs to' in said


def test_include_not_from_the_root(project):
    project.write('sync/low/two.c', '#include "one.h"\nint two(void) { return 2; }\n')
    code, said = project.check()
    assert code == 1 and '"one.h" is not a path from the repository\'s root' in said


def test_call_against_the_direction(project):
    project.write('sync/low/two.c', 'int top(void);\nint two(void) { return top(); }\n')
    code, said = project.check()
    assert code == 1
    assert "sync/low/two.c -> sync/high/top.c (top): 'sync/low' may not call 'sync/high'" in said


def test_sql_of_the_master_outside_its_room(project):
    project.write('Makefile', MAKEFILE + '\t@echo "sync/common:"; echo "sync/master/db: sync/common"\n'
                  '\t@echo "sync/master/http: sync/common sync/master/db"\n')
    project.write('sync/common/db.c', 'int db_run(void) { return 1; }\nint db_step(void) { return 1; }\n')
    project.write('sync/master/db/tree.c', 'int db_run(void);\nint tree(void) { return db_run(); }\n')
    project.write('sync/master/http/feed.c', 'int db_step(void);\nint feed(void) { return db_step(); }\n')
    assert project.check() == (0, 'check-layers: good\n')
    project.write('sync/master/http/feed.c', 'int db_run(void);\nint feed(void) { return db_run(); }\n')
    assert project.check() == (1, "check-layers: sync/master/http/feed.c: db_run belongs to 'sync/master/db'\n")


def test_circle_of_calls(project):
    project.write('sync/low/one.c', 'int three(void);\nint one(void) { return three(); }\n')
    project.write('sync/low/three.c', 'int two(void);\nint three(void) { return two(); }\n')
    assert project.check() == (1, 'check-layers: circle of calls: sync/low/one.c -> sync/low/three.c '
                                  '(three) -> sync/low/two.c (two) -> sync/low/one.c (one)\n')


def test_rooms_in_a_circle(project):
    project.write('Makefile', MAKEFILE.replace('sync/low:', 'sync/low: sync/high'))
    code, said = project.check()
    assert code == 1 and 'the rooms see each other in a circle: sync/high -> sync/low -> sync/high' in said


def test_folder_that_is_no_room(project):
    project.write('sync/new/new.c', 'int new(void) { return 0; }\n')
    code, said = project.check()
    assert code == 1 and "sync/new/new.c: the folder 'sync/new' is no room" in said


def test_header_that_a_room_sees_alone(project):
    """A lower room may be shown one header of a higher one: its declarations, not its calls."""
    project.write('Makefile', MAKEFILE.replace('sync/low:', 'sync/low: sync/high/settings.h'))
    project.write('sync/high/settings.h', 'struct settings;\n')
    project.write('sync/low/two.c', '#include "sync/high/settings.h"\nint two(void) { return 2; }\n')
    assert project.check()[0] == 0


def test_header_of_a_unit_that_a_room_sees_alone(project):
    """The face of another room: it may be called, the room's other headers stay closed."""
    project.write('Makefile', MAKEFILE.replace('sync/high: sync/low', 'sync/high: sync/low/one.h'))
    project.write('sync/low/two.h', 'int two(void);\n')
    assert project.check()[0] == 0
    project.write('sync/high/top.c', '#include "sync/low/two.h"\nint top(void) { return two(); }\n')
    code, said = project.check()
    assert code == 1 and "'sync/high' may not include 'sync/low/two.h'" in said


def test_object_that_is_missing(project):
    assert project.check()[0] == 0
    (project.root / 'build/sync/low/one.o').unlink()
    assert 'build/sync/low/one.o is missing: build first' in project.run()[1]
