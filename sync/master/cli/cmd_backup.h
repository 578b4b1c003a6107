/* SPDX-License-Identifier: MIT */
/* cmd_backup: `eefs-master backup`, beside a master that serves, or without one. */
#ifndef EEFS_MASTER_CLI_CMD_BACKUP_H
#define EEFS_MASTER_CLI_CMD_BACKUP_H

/* argv[0] is the command's name. The exit code. */
int cmd_backup(int argc, char **argv);

#endif
