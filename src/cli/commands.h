/*
 * commands.h - the subcommands that commands.c lists, each in a file of its own name.
 */
#ifndef KLAMM_CLI_COMMANDS_H
#define KLAMM_CLI_COMMANDS_H

#include "cli/command.h"

extern const struct command cluster_command;
extern const struct command config_alter_command;
extern const struct command config_describe_command;
extern const struct command consume_command;
extern const struct command group_delete_command;
extern const struct command group_delete_offsets_command;
extern const struct command group_describe_command;
extern const struct command group_list_command;
extern const struct command group_members_command;
extern const struct command group_reset_offsets_command;
extern const struct command group_state_command;
extern const struct command help_command;
extern const struct command log_dump_command;
extern const struct command perf_consume_command;
extern const struct command perf_produce_command;
extern const struct command produce_command;
extern const struct command reassign_apply_command;
extern const struct command reassign_cancel_command;
extern const struct command reassign_plan_command;
extern const struct command reassign_watch_command;
extern const struct command topic_alter_command;
extern const struct command topic_create_command;
extern const struct command topic_delete_command;
extern const struct command topic_delete_records_command;
extern const struct command topic_describe_command;
extern const struct command topic_elect_leaders_command;
extern const struct command topic_list_command;
extern const struct command version_command;

#endif
