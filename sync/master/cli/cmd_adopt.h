/* SPDX-License-Identifier: MIT */
/* cmd_adopt: `eefs-master adopt`, by the control socket of the master that serves. */
#ifndef EEFS_MASTER_CLI_CMD_ADOPT_H
#define EEFS_MASTER_CLI_CMD_ADOPT_H

/* argv[0] is the command's name. The exit code. */
int cmd_adopt(int argc, char **argv);

#endif
