/* SPDX-License-Identifier: MIT */
/*
 * cmd_mirror: the commands `eefs-master mirror` and `eefs-master confirm`. argv[0] is the command's
 * name; the exit code is returned: 0, or 1 (failed, or wrong usage; the reason was printed).
 */
#ifndef EEFS_MASTER_CLI_CMD_MIRROR_H
#define EEFS_MASTER_CLI_CMD_MIRROR_H

int cmd_mirror(int argc, char **argv);
int cmd_confirm(int argc, char **argv);

#endif
