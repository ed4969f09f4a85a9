/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of `weir policy`, one file each. argv[0] is the subcommand's name. */
#ifndef WEIR_CLI_POLICY_CMDS_H
#define WEIR_CLI_POLICY_CMDS_H

#include "cli.h"

int policy_explain_run(const struct cli_command *cmd, int argc, char **argv);
int policy_test_run(const struct cli_command *cmd, int argc, char **argv);
int policy_replay_run(const struct cli_command *cmd, int argc, char **argv);
int policy_learn_run(const struct cli_command *cmd, int argc, char **argv);
int policy_show_run(const struct cli_command *cmd, int argc, char **argv);
int policy_reload_run(const struct cli_command *cmd, int argc, char **argv);

/* Options of a subcommand beside those of cli/filter.h: taken out of argv before that reads it. */
bool policy_flag_take(int *argc, char **argv, const char *name);
/* "--name VALUE" or "--name=VALUE"; otherwise what it is without. */
const char *policy_value_take(int *argc, char **argv, const char *name, const char *without);

#endif
