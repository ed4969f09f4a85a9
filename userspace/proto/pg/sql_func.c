// SPDX-License-Identifier: Apache-2.0
/*
 * What PostgreSQL's own functions do. Three sources, in this order: the table below, by hand, for
 * those that have effects; sql_builtins.inc, made from a server's catalogue, for those that have
 * none; and for all others, which are somebody's own code: anything.
 */
#include "sql_walk.h"

#include <stdlib.h>

enum func_arg {
	ARG_NONE,
	ARG_FILE,  /* the first argument names a file on the server */
	ARG_FILE2, /* the second does */
	ARG_SEQ,   /* the first names a sequence */
	ARG_TABLE, /* the first names a table that is read */
	ARG_SET,   /* set_config(name, value, local) */
};

struct func {
	const char *name;
	uint32_t effects;
	enum func_arg arg;
};

#define R OP_READ
#define W OP_WRITE
#define D OP_DELETE
#define C OP_SCHEMA
#define S OP_SESSION
#define A OP_ADMIN
#define F OP_FILE
#define X OP_EXEC
#define N OP_NETWORK
#define U OP_UNKNOWN

/* Sorted by bytes. Names that are not PostgreSQL's own but of its contrib modules are marked by U: such
 * a name can be anybody's function. */
static const struct func funcs[] = {
	{ "amvalidate", R, ARG_NONE },
	{ "bernoulli", R, ARG_NONE },
	{ "brin_desummarize_range", W, ARG_NONE },
	{ "brin_summarize_new_values", W, ARG_NONE },
	{ "brin_summarize_range", W, ARG_NONE },
	{ "clock_timestamp", R, ARG_NONE },
	{ "current_query", R, ARG_NONE },
	{ "currtid2", R, ARG_NONE },
	{ "currval", R, ARG_SEQ },
	{ "cursor_to_xml", R | U, ARG_NONE },
	{ "cursor_to_xmlschema", R | U, ARG_NONE },
	{ "database_to_xml", R | U, ARG_NONE },
	{ "database_to_xml_and_xmlschema", R | U, ARG_NONE },
	{ "database_to_xmlschema", R | U, ARG_NONE },
	{ "dblink", X | N | U, ARG_NONE },
	{ "dblink_build_sql_delete", X | N | U, ARG_NONE },
	{ "dblink_cancel_query", X | N | U, ARG_NONE },
	{ "dblink_close", X | N | U, ARG_NONE },
	{ "dblink_connect", X | N | U, ARG_NONE },
	{ "dblink_connect_u", X | N | U, ARG_NONE },
	{ "dblink_disconnect", X | N | U, ARG_NONE },
	{ "dblink_exec", X | N | U, ARG_NONE },
	{ "dblink_fetch", X | N | U, ARG_NONE },
	{ "dblink_open", X | N | U, ARG_NONE },
	{ "dblink_send_query", X | N | U, ARG_NONE },
	{ "gen_random_uuid", R, ARG_NONE },
	{ "gin_clean_pending_list", W, ARG_NONE },
	{ "lastval", R, ARG_NONE },
	{ "lo_close", S, ARG_NONE },
	{ "lo_creat", W, ARG_NONE },
	{ "lo_create", W, ARG_NONE },
	{ "lo_export", R | F, ARG_FILE2 },
	{ "lo_from_bytea", W, ARG_NONE },
	{ "lo_get", R, ARG_NONE },
	{ "lo_import", R | W | F, ARG_FILE },
	{ "lo_lseek", R, ARG_NONE },
	{ "lo_lseek64", R, ARG_NONE },
	{ "lo_open", R | W, ARG_NONE },
	{ "lo_put", W, ARG_NONE },
	{ "lo_tell", R, ARG_NONE },
	{ "lo_tell64", R, ARG_NONE },
	{ "lo_truncate", W | D, ARG_NONE },
	{ "lo_truncate64", W | D, ARG_NONE },
	{ "lo_unlink", D, ARG_NONE },
	{ "loread", R, ARG_NONE },
	{ "lowrite", W, ARG_NONE },
	{ "nextval", R | W, ARG_SEQ },
	{ "pg_advisory_lock", S, ARG_NONE },
	{ "pg_advisory_lock_shared", S, ARG_NONE },
	{ "pg_advisory_unlock", S, ARG_NONE },
	{ "pg_advisory_unlock_all", S, ARG_NONE },
	{ "pg_advisory_unlock_shared", S, ARG_NONE },
	{ "pg_advisory_xact_lock", S, ARG_NONE },
	{ "pg_advisory_xact_lock_shared", S, ARG_NONE },
	{ "pg_backup_start", A, ARG_NONE },
	{ "pg_backup_stop", A, ARG_NONE },
	{ "pg_blocking_pids", R, ARG_NONE },
	{ "pg_cancel_backend", A, ARG_NONE },
	{ "pg_collation_actual_version", R, ARG_NONE },
	{ "pg_control_checkpoint", R, ARG_NONE },
	{ "pg_control_init", R, ARG_NONE },
	{ "pg_control_recovery", R, ARG_NONE },
	{ "pg_control_system", R, ARG_NONE },
	{ "pg_copy_logical_replication_slot", A, ARG_NONE },
	{ "pg_copy_physical_replication_slot", A, ARG_NONE },
	{ "pg_create_logical_replication_slot", A, ARG_NONE },
	{ "pg_create_physical_replication_slot", A, ARG_NONE },
	{ "pg_create_restore_point", A, ARG_NONE },
	{ "pg_current_logfile", R | A, ARG_NONE },
	{ "pg_current_wal_flush_lsn", R, ARG_NONE },
	{ "pg_current_wal_insert_lsn", R, ARG_NONE },
	{ "pg_current_wal_lsn", R, ARG_NONE },
	{ "pg_database_collation_actual_version", R, ARG_NONE },
	{ "pg_database_size", R, ARG_NONE },
	{ "pg_drop_replication_slot", A | D, ARG_NONE },
	{ "pg_export_snapshot", S, ARG_NONE },
	{ "pg_extension_config_dump", A, ARG_NONE },
	{ "pg_file_read", R | F | U, ARG_FILE },
	{ "pg_file_rename", W | F | U, ARG_FILE },
	{ "pg_file_sync", W | F | U, ARG_FILE },
	{ "pg_file_unlink", D | F | U, ARG_FILE },
	{ "pg_file_write", W | F | U, ARG_FILE },
	{ "pg_get_backend_memory_contexts", R, ARG_NONE },
	{ "pg_get_multixact_members", R, ARG_NONE },
	{ "pg_get_shmem_allocations", R | A, ARG_NONE },
	{ "pg_get_wal_replay_pause_state", R, ARG_NONE },
	{ "pg_get_wal_resource_managers", R, ARG_NONE },
	{ "pg_hba_file_rules", R | F | A, ARG_NONE },
	{ "pg_ident_file_mappings", R | F | A, ARG_NONE },
	{ "pg_import_system_collations", A | W | C, ARG_NONE },
	{ "pg_indexes_size", R, ARG_NONE },
	{ "pg_is_in_recovery", R, ARG_NONE },
	{ "pg_is_wal_replay_paused", R, ARG_NONE },
	{ "pg_jit_available", R, ARG_NONE },
	{ "pg_last_committed_xact", R, ARG_NONE },
	{ "pg_last_wal_receive_lsn", R, ARG_NONE },
	{ "pg_last_wal_replay_lsn", R, ARG_NONE },
	{ "pg_last_xact_replay_timestamp", R, ARG_NONE },
	{ "pg_lock_status", R, ARG_NONE },
	{ "pg_log_backend_memory_contexts", A, ARG_NONE },
	{ "pg_logdir_ls", R | F | U, ARG_NONE },
	{ "pg_logical_emit_message", A | W, ARG_NONE },
	{ "pg_logical_slot_get_binary_changes", A | R | W, ARG_NONE },
	{ "pg_logical_slot_get_changes", A | R | W, ARG_NONE },
	{ "pg_logical_slot_peek_binary_changes", A | R, ARG_NONE },
	{ "pg_logical_slot_peek_changes", A | R, ARG_NONE },
	{ "pg_ls_archive_statusdir", R | F, ARG_NONE },
	{ "pg_ls_dir", R | F, ARG_FILE },
	{ "pg_ls_logdir", R | F, ARG_NONE },
	{ "pg_ls_logicalmapdir", R | F, ARG_NONE },
	{ "pg_ls_logicalsnapdir", R | F, ARG_NONE },
	{ "pg_ls_replslotdir", R | F, ARG_FILE },
	{ "pg_ls_tmpdir", R | F, ARG_NONE },
	{ "pg_ls_waldir", R | F, ARG_NONE },
	{ "pg_nextoid", A | W, ARG_NONE },
	{ "pg_notification_queue_usage", R, ARG_NONE },
	{ "pg_notify", W | S, ARG_NONE },
	{ "pg_partition_ancestors", R, ARG_NONE },
	{ "pg_partition_tree", R, ARG_NONE },
	{ "pg_prepared_xact", R, ARG_NONE },
	{ "pg_promote", A, ARG_NONE },
	{ "pg_read_binary_file", R | F, ARG_FILE },
	{ "pg_read_file", R | F, ARG_FILE },
	{ "pg_read_file_old", R | F, ARG_FILE },
	{ "pg_relation_size", R, ARG_NONE },
	{ "pg_reload_conf", A | F, ARG_NONE },
	{ "pg_replication_origin_advance", A, ARG_NONE },
	{ "pg_replication_origin_create", A, ARG_NONE },
	{ "pg_replication_origin_drop", A | D, ARG_NONE },
	{ "pg_replication_origin_progress", R, ARG_NONE },
	{ "pg_replication_origin_session_is_setup", R, ARG_NONE },
	{ "pg_replication_origin_session_progress", R, ARG_NONE },
	{ "pg_replication_origin_session_reset", A, ARG_NONE },
	{ "pg_replication_origin_session_setup", A, ARG_NONE },
	{ "pg_replication_origin_xact_reset", A, ARG_NONE },
	{ "pg_replication_origin_xact_setup", A, ARG_NONE },
	{ "pg_replication_slot_advance", A, ARG_NONE },
	{ "pg_rotate_logfile", A, ARG_NONE },
	{ "pg_rotate_logfile_old", A, ARG_NONE },
	{ "pg_safe_snapshot_blocking_pids", R, ARG_NONE },
	{ "pg_sequence_last_value", R, ARG_NONE },
	{ "pg_show_all_file_settings", R | F | A, ARG_NONE },
	{ "pg_show_replication_origin_status", R, ARG_NONE },
	{ "pg_sleep", S, ARG_NONE },
	{ "pg_sleep_for", S, ARG_NONE },
	{ "pg_sleep_until", S, ARG_NONE },
	{ "pg_stat_clear_snapshot", S, ARG_NONE },
	{ "pg_stat_file", R | F, ARG_FILE },
	{ "pg_stat_force_next_flush", S, ARG_NONE },
	{ "pg_stat_have_stats", R, ARG_NONE },
	{ "pg_stat_reset", A, ARG_NONE },
	{ "pg_stat_reset_replication_slot", A, ARG_NONE },
	{ "pg_stat_reset_shared", A, ARG_NONE },
	{ "pg_stat_reset_single_function_counters", A, ARG_NONE },
	{ "pg_stat_reset_single_table_counters", A, ARG_NONE },
	{ "pg_stat_reset_slru", A, ARG_NONE },
	{ "pg_stat_reset_subscription_stats", A, ARG_NONE },
	{ "pg_stop_making_pinned_objects", A, ARG_NONE },
	{ "pg_switch_wal", A, ARG_NONE },
	{ "pg_table_size", R, ARG_NONE },
	{ "pg_tablespace_size", R, ARG_NONE },
	{ "pg_terminate_backend", A, ARG_NONE },
	{ "pg_total_relation_size", R, ARG_NONE },
	{ "pg_try_advisory_lock", S, ARG_NONE },
	{ "pg_try_advisory_lock_shared", S, ARG_NONE },
	{ "pg_try_advisory_xact_lock", S, ARG_NONE },
	{ "pg_try_advisory_xact_lock_shared", S, ARG_NONE },
	{ "pg_wal_replay_pause", A, ARG_NONE },
	{ "pg_wal_replay_resume", A, ARG_NONE },
	{ "pg_xact_commit_timestamp", R, ARG_NONE },
	{ "pg_xact_commit_timestamp_origin", R, ARG_NONE },
	{ "pg_xact_status", R, ARG_NONE },
	{ "postgres_fdw_disconnect", N | S | U, ARG_NONE },
	{ "postgres_fdw_disconnect_all", N | S | U, ARG_NONE },
	{ "query_to_xml", R | U, ARG_NONE },
	{ "query_to_xml_and_xmlschema", R | U, ARG_NONE },
	{ "query_to_xmlschema", R | U, ARG_NONE },
	{ "random", R, ARG_NONE },
	{ "schema_to_xml", R | U, ARG_NONE },
	{ "schema_to_xml_and_xmlschema", R | U, ARG_NONE },
	{ "schema_to_xmlschema", R | U, ARG_NONE },
	{ "set_config", S, ARG_SET },
	{ "setseed", S, ARG_NONE },
	{ "setval", W, ARG_SEQ },
	{ "system", R, ARG_NONE },
	{ "table_to_xml", R, ARG_TABLE },
	{ "table_to_xml_and_xmlschema", R, ARG_TABLE },
	{ "table_to_xmlschema", R, ARG_TABLE },
	{ "timeofday", R, ARG_NONE },
	{ "ts_rewrite", R | U, ARG_NONE },
	{ "ts_stat", R | U, ARG_NONE },
	{ "txid_status", R, ARG_NONE },
};
#undef R
#undef W
#undef D
#undef C
#undef S
#undef A
#undef F
#undef X
#undef N
#undef U

static const char *const builtins[] = {
#include "sql_builtins.inc"
};

static int func_cmp(const void *key, const void *elem)
{
	return strcmp(key, ((const struct func *)elem)->name);
}

static int builtin_cmp(const void *key, const void *elem)
{
	return strcmp(key, *(const char *const *)elem);
}

static bool builtin_is_pure(const char *name)
{
	/* A family of readers of statistics, larger with each release. */
	if (strncmp(name, "pg_stat_get_", 12) == 0)
		return true;
	return bsearch(name, builtins, ARRAY_SIZE(builtins), sizeof(builtins[0]), builtin_cmp);
}

/* The object that the n-th argument names; what cannot be read from the text is unknown. */
static void arg_object(struct pg_walk *w, const PgQuery__FuncCall *f, size_t n, const char *kind,
		       uint32_t access)
{
	const char *s = n < f->n_args ? pg_const_string(f->args[n]) : NULL;

	w->literal = true;
	if (s)
		pg_add_named(w, kind, s, access);
	else
		w->effects |= OP_UNKNOWN;
}

bool pg_func_is_undeclared(const struct pg_walk *w, const PgQuery__FuncCall *f)
{
	const char *name = f->n_funcname ? pg_string(f->funcname[f->n_funcname - 1]) : NULL;
	const char *schema = f->n_funcname > 1 ? pg_string(f->funcname[f->n_funcname - 2]) : NULL;

	/* PostgreSQL takes the overload whose types fit best. */
	if ((!schema || strcmp(schema, "pg_catalog") != 0) &&
	    pg_known_function(w->known, name, false))
		return true;
	if (!name || bsearch(name, funcs, ARRAY_SIZE(funcs), sizeof(funcs[0]), func_cmp))
		return false;
	return f->n_funcname > 2 || (schema && strcmp(schema, "pg_catalog") != 0) ||
	       !builtin_is_pure(name);
}

void pg_walk_func_call(struct pg_walk *w, const PgQuery__FuncCall *f)
{
	const char *name = f->n_funcname ? pg_string(f->funcname[f->n_funcname - 1]) : NULL;
	const char *schema = f->n_funcname > 1 ? pg_string(f->funcname[f->n_funcname - 2]) : NULL;
	const struct func *fn = NULL;
	uint32_t effects;

	/* A contrib module in a schema of its own keeps the effects that its name promises. */
	if (name)
		fn = bsearch(name, funcs, ARRAY_SIZE(funcs), sizeof(funcs[0]), func_cmp);
	effects = fn ? fn->effects : 0;
	if (pg_func_is_undeclared(w, f)) {
		w->calls_undeclared = true;
		w->effects |= effects;
		effects |= OP_EXEC | OP_UNKNOWN;
	} else if (!name || f->n_funcname > 2 || (schema && strcmp(schema, "pg_catalog") != 0)) {
		effects |= OP_EXEC | OP_UNKNOWN;
		w->effects |= effects;
	} else {
		effects |= fn ? 0 : OP_READ;
		w->effects |= effects;
	}
	if (effects & OP_UNKNOWN)
		w->may_set_lexing = true;
	pg_add_names(w, "function", f->n_funcname, f->funcname, effects);
	switch (fn ? fn->arg : ARG_NONE) {
	case ARG_NONE: break;
	case ARG_FILE:
		/* What lo_import writes is the database: the file itself is only read. */
		arg_object(w, f, 0, "file",
			   strcmp(name, "lo_import") == 0
				   ? (uint32_t)OP_READ
				   : fn->effects & (OP_READ | OP_WRITE | OP_DELETE));
		break;
	case ARG_FILE2: arg_object(w, f, 1, "file", OP_WRITE); break;
	case ARG_SEQ: arg_object(w, f, 0, "sequence", fn->effects); break;
	case ARG_TABLE: arg_object(w, f, 0, "table", OP_READ); break;
	case ARG_SET:
		w->literal = true;
		pg_walk_setting(w, f->n_args ? pg_const_string(f->args[0]) : NULL,
				f->n_args > 1 ? 1 : 0, f->args + 1);
		break;
	}
	pg_walk_children(w, &f->base);
}
