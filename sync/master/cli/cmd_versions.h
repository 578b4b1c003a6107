/* SPDX-License-Identifier: MIT */
/* cmd_versions: the commands `eefs-master history` and `eefs-master restore`. argv[0] is the
 * command's name; returns the exit code: 0, 1 (failed, or bad usage). */
#ifndef EEFS_MASTER_CLI_CMD_VERSIONS_H
#define EEFS_MASTER_CLI_CMD_VERSIONS_H

int cmd_history(int argc, char **argv);
int cmd_restore(int argc, char **argv);

#endif
