/* SPDX-License-Identifier: MIT */
/* cmd_recover: `eefs-master recover`, by the control socket of the master that serves. */
#ifndef EEFS_MASTER_CLI_CMD_RECOVER_H
#define EEFS_MASTER_CLI_CMD_RECOVER_H

/* argv[0] is the command's name. The exit code. */
int cmd_recover(int argc, char **argv);

#endif
