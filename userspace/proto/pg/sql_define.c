// SPDX-License-Identifier: Apache-2.0
/* Statements that define types, operators, extensions, foreign servers; and those about the server. */
#include "sql_walk.h"

static bool walk_define(struct pg_walk *w, const PgQuery__Node *n)
{
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_DEFINE_STMT: {
		const PgQuery__DefineStmt *d = n->define_stmt;
		uint32_t effects = pg_type_effects(d->kind);

		/* Aggregates, operators, types and the rest are made of functions, some in C. */
		if (d->kind != PG_QUERY__OBJECT_TYPE__OBJECT_COLLATION)
			effects |= OP_EXEC;
		pg_ddl(w, "CREATE", pg_type_word(d->kind), effects);
		pg_add_names(w, pg_type_kind(d->kind), d->n_defnames, d->defnames, OP_SCHEMA);
		return true;
	}
	case PG_QUERY__NODE__NODE_CREATE_CAST_STMT:
		pg_ddl(w, "CREATE", "cast", OP_SCHEMA | OP_EXEC);
		if (n->create_cast_stmt->func)
			pg_add_names(w, "function", n->create_cast_stmt->func->n_objname,
				     n->create_cast_stmt->func->objname, OP_EXEC);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_CONVERSION_STMT:
		pg_ddl(w, "CREATE", "conversion", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "conversion", n->create_conversion_stmt->n_conversion_name,
			     n->create_conversion_stmt->conversion_name, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_TRANSFORM_STMT:
		pg_ddl(w, "CREATE", "transform", OP_SCHEMA | OP_EXEC);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_AM_STMT:
		pg_ddl(w, "CREATE", "access method", OP_SCHEMA | OP_EXEC);
		pg_add_named(w, "access method", n->create_am_stmt->amname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_OP_CLASS_STMT:
		pg_ddl(w, "CREATE", "operator class", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "operator class", n->create_op_class_stmt->n_opclassname,
			     n->create_op_class_stmt->opclassname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_OP_FAMILY_STMT:
		pg_ddl(w, "CREATE", "operator family", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "operator family", n->create_op_family_stmt->n_opfamilyname,
			     n->create_op_family_stmt->opfamilyname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_OP_FAMILY_STMT:
		pg_ddl(w, "ALTER", "operator family", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "operator family", n->alter_op_family_stmt->n_opfamilyname,
			     n->alter_op_family_stmt->opfamilyname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_OPERATOR_STMT:
		pg_ddl(w, "ALTER", "operator", OP_SCHEMA | OP_EXEC);
		if (n->alter_operator_stmt->opername)
			pg_add_names(w, "operator", n->alter_operator_stmt->opername->n_objname,
				     n->alter_operator_stmt->opername->objname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_PLANG_STMT:
		pg_ddl(w, "CREATE", "language", OP_SCHEMA | OP_EXEC);
		pg_add_named(w, "language", n->create_plang_stmt->plname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT:
		pg_ddl(w, "CREATE", "domain", OP_SCHEMA);
		pg_add_names(w, "domain", n->create_domain_stmt->n_domainname,
			     n->create_domain_stmt->domainname, OP_SCHEMA);
		pg_walk_list(w, n->create_domain_stmt->n_constraints,
			     n->create_domain_stmt->constraints);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_DOMAIN_STMT:
		pg_ddl(w, "ALTER", "domain", OP_SCHEMA);
		pg_add_names(w, "domain", n->alter_domain_stmt->n_type_name,
			     n->alter_domain_stmt->type_name, OP_SCHEMA);
		pg_walk_node(w, n->alter_domain_stmt->def);
		return true;
	case PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT:
		pg_ddl(w, "CREATE", "type", OP_SCHEMA);
		pg_add_range_var(w, "type", n->composite_type_stmt->typevar, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_ENUM_STMT:
		pg_ddl(w, "CREATE", "type", OP_SCHEMA);
		pg_add_names(w, "type", n->create_enum_stmt->n_type_name,
			     n->create_enum_stmt->type_name, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_RANGE_STMT:
		pg_ddl(w, "CREATE", "type", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "type", n->create_range_stmt->n_type_name,
			     n->create_range_stmt->type_name, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_ENUM_STMT:
		pg_ddl(w, "ALTER", "type", OP_SCHEMA);
		pg_add_names(w, "type", n->alter_enum_stmt->n_type_name,
			     n->alter_enum_stmt->type_name, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TYPE_STMT:
		pg_ddl(w, "ALTER", "type", OP_SCHEMA | OP_EXEC);
		pg_add_names(w, "type", n->alter_type_stmt->n_type_name,
			     n->alter_type_stmt->type_name, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TSDICTIONARY_STMT:
		pg_ddl(w, "ALTER", "text search dictionary", OP_SCHEMA);
		pg_add_names(w, "text search dictionary", n->alter_tsdictionary_stmt->n_dictname,
			     n->alter_tsdictionary_stmt->dictname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TSCONFIGURATION_STMT:
		pg_ddl(w, "ALTER", "text search configuration", OP_SCHEMA);
		pg_add_names(w, "text search configuration",
			     n->alter_tsconfiguration_stmt->n_cfgname,
			     n->alter_tsconfiguration_stmt->cfgname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_COLLATION_STMT:
		pg_ddl(w, "ALTER", "collation", OP_SCHEMA);
		pg_add_names(w, "collation", n->alter_collation_stmt->n_collname,
			     n->alter_collation_stmt->collname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_STATS_STMT:
		pg_ddl(w, "CREATE", "statistics", OP_SCHEMA);
		pg_add_names(w, "statistics", n->create_stats_stmt->n_defnames,
			     n->create_stats_stmt->defnames, OP_SCHEMA);
		pg_walk_list_as(w, n->create_stats_stmt->n_relations,
				n->create_stats_stmt->relations, OP_SCHEMA);
		pg_walk_list(w, n->create_stats_stmt->n_exprs, n->create_stats_stmt->exprs);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_STATS_STMT:
		pg_ddl(w, "ALTER", "statistics", OP_SCHEMA);
		pg_add_names(w, "statistics", n->alter_stats_stmt->n_defnames,
			     n->alter_stats_stmt->defnames, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT:
		pg_ddl(w, "CREATE", "extension", OP_SCHEMA | OP_EXEC | OP_FILE);
		pg_add_named(w, "extension", n->create_extension_stmt->extname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_EXTENSION_STMT:
		pg_ddl(w, "ALTER", "extension", OP_SCHEMA | OP_EXEC | OP_FILE);
		pg_add_named(w, "extension", n->alter_extension_stmt->extname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_EXTENSION_CONTENTS_STMT:
		pg_ddl(w, "ALTER", "extension", OP_SCHEMA | OP_EXEC);
		pg_add_named(w, "extension", n->alter_extension_contents_stmt->extname, OP_SCHEMA);
		pg_add_node_name(w, pg_type_kind(n->alter_extension_contents_stmt->objtype),
				 n->alter_extension_contents_stmt->object, OP_SCHEMA);
		return true;
	default: return false;
	}
}

static bool walk_foreign(struct pg_walk *w, const PgQuery__Node *n)
{
	enum { FOREIGN = OP_SCHEMA | OP_NETWORK };

	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_CREATE_FDW_STMT:
		pg_ddl(w, "CREATE", "foreign data wrapper", FOREIGN | OP_EXEC);
		pg_add_named(w, "foreign data wrapper", n->create_fdw_stmt->fdwname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_FDW_STMT:
		pg_ddl(w, "ALTER", "foreign data wrapper", FOREIGN | OP_EXEC);
		pg_add_named(w, "foreign data wrapper", n->alter_fdw_stmt->fdwname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_FOREIGN_SERVER_STMT:
		pg_ddl(w, "CREATE", "server", FOREIGN);
		pg_add_named(w, "server", n->create_foreign_server_stmt->servername, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_FOREIGN_SERVER_STMT:
		pg_ddl(w, "ALTER", "server", FOREIGN);
		pg_add_named(w, "server", n->alter_foreign_server_stmt->servername, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_USER_MAPPING_STMT:
		pg_ddl(w, "CREATE", "user mapping", FOREIGN | OP_GRANT);
		pg_add_named(w, "server", n->create_user_mapping_stmt->servername, OP_GRANT);
		pg_add_role(w, n->create_user_mapping_stmt->user, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_USER_MAPPING_STMT:
		pg_ddl(w, "ALTER", "user mapping", FOREIGN | OP_GRANT);
		pg_add_named(w, "server", n->alter_user_mapping_stmt->servername, OP_GRANT);
		pg_add_role(w, n->alter_user_mapping_stmt->user, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_DROP_USER_MAPPING_STMT:
		pg_ddl(w, "DROP", "user mapping", FOREIGN | OP_GRANT);
		pg_add_named(w, "server", n->drop_user_mapping_stmt->servername, OP_GRANT);
		pg_add_role(w, n->drop_user_mapping_stmt->user, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_FOREIGN_TABLE_STMT:
		w->effects |= OP_NETWORK;
		pg_add_named(w, "server", n->create_foreign_table_stmt->servername, OP_NETWORK);
		if (n->create_foreign_table_stmt->base_stmt)
			pg_walk_create_table(w, n->create_foreign_table_stmt->base_stmt,
					     "foreign table");
		return true;
	case PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT:
		pg_ddl(w, "IMPORT", "schema", FOREIGN);
		pg_add_named(w, "server", n->import_foreign_schema_stmt->server_name, OP_NETWORK);
		pg_add_named(w, "schema", n->import_foreign_schema_stmt->local_schema, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT:
		pg_ddl(w, "CREATE", "publication", FOREIGN | OP_ADMIN);
		pg_add_named(w, "publication", n->create_publication_stmt->pubname, OP_SCHEMA);
		pg_walk_list(w, n->create_publication_stmt->n_pubobjects,
			     n->create_publication_stmt->pubobjects);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_PUBLICATION_STMT:
		pg_ddl(w, "ALTER", "publication", FOREIGN | OP_ADMIN);
		pg_add_named(w, "publication", n->alter_publication_stmt->pubname, OP_SCHEMA);
		pg_walk_list(w, n->alter_publication_stmt->n_pubobjects,
			     n->alter_publication_stmt->pubobjects);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT:
		pg_ddl(w, "CREATE", "subscription", FOREIGN | OP_ADMIN | OP_WRITE);
		pg_add_named(w, "subscription", n->create_subscription_stmt->subname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_SUBSCRIPTION_STMT:
		pg_ddl(w, "ALTER", "subscription", FOREIGN | OP_ADMIN | OP_WRITE);
		pg_add_named(w, "subscription", n->alter_subscription_stmt->subname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_DROP_SUBSCRIPTION_STMT:
		pg_ddl(w, "DROP", "subscription", FOREIGN | OP_ADMIN);
		pg_add_named(w, "subscription", n->drop_subscription_stmt->subname, OP_SCHEMA);
		return true;
	default: return false;
	}
}

static bool walk_server(struct pg_walk *w, const PgQuery__Node *n)
{
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_CREATEDB_STMT:
		pg_ddl(w, "CREATE", "database", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "database", n->createdb_stmt->dbname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_DROPDB_STMT:
		pg_ddl(w, "DROP", "database", OP_SCHEMA | OP_DELETE | OP_ADMIN);
		pg_add_named(w, "database", n->dropdb_stmt->dbname, OP_SCHEMA | OP_DELETE);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
		pg_ddl(w, "ALTER", "database", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "database", n->alter_database_stmt->dbname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_DATABASE_REFRESH_COLL_STMT:
		pg_ddl(w, "ALTER", "database", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "database", n->alter_database_refresh_coll_stmt->dbname, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT:
		pg_ddl(w, "ALTER", "database", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "database", n->alter_database_set_stmt->dbname, OP_SCHEMA);
		if (n->alter_database_set_stmt->setstmt)
			pg_add_named(w, "setting", n->alter_database_set_stmt->setstmt->name,
				     OP_ADMIN);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_TABLE_SPACE_STMT:
		pg_ddl(w, "CREATE", "tablespace", OP_SCHEMA | OP_FILE | OP_ADMIN);
		pg_add_named(w, "tablespace", n->create_table_space_stmt->tablespacename,
			     OP_SCHEMA);
		pg_add_named(w, "file", n->create_table_space_stmt->location, OP_WRITE);
		return true;
	case PG_QUERY__NODE__NODE_DROP_TABLE_SPACE_STMT:
		pg_ddl(w, "DROP", "tablespace", OP_SCHEMA | OP_FILE | OP_ADMIN);
		pg_add_named(w, "tablespace", n->drop_table_space_stmt->tablespacename, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TABLE_SPACE_OPTIONS_STMT:
		pg_ddl(w, "ALTER", "tablespace", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "tablespace", n->alter_table_space_options_stmt->tablespacename,
			     OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_TABLE_MOVE_ALL_STMT:
		pg_ddl(w, "ALTER", "tablespace", OP_SCHEMA | OP_ADMIN);
		pg_add_named(w, "tablespace", n->alter_table_move_all_stmt->orig_tablespacename,
			     OP_SCHEMA);
		pg_add_named(w, "tablespace", n->alter_table_move_all_stmt->new_tablespacename,
			     OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT:
		pg_verb(w, "ALTER SYSTEM", OP_ADMIN | OP_FILE);
		if (n->alter_system_stmt->setstmt)
			pg_add_named(w, "setting", n->alter_system_stmt->setstmt->name, OP_ADMIN);
		return true;
	case PG_QUERY__NODE__NODE_CHECK_POINT_STMT: pg_verb(w, "CHECKPOINT", OP_ADMIN); return true;
	case PG_QUERY__NODE__NODE_LOAD_STMT:
		pg_verb(w, "LOAD", OP_EXEC | OP_FILE | OP_UNKNOWN);
		pg_add_named(w, "file", n->load_stmt->filename, OP_EXEC);
		w->may_set_lexing = true;
		return true;
	case PG_QUERY__NODE__NODE_VACUUM_STMT: {
		/* Both call the functions of index expressions as the table's owner. */
		bool vacuum = n->vacuum_stmt->is_vacuumcmd;

		pg_verb(w, vacuum ? "VACUUM" : "ANALYZE", OP_SCHEMA | OP_EXEC);
		pg_walk_list_as(w, n->vacuum_stmt->n_rels, n->vacuum_stmt->rels, OP_SCHEMA);
		return true;
	}
	case PG_QUERY__NODE__NODE_CLUSTER_STMT:
		pg_verb(w, "CLUSTER", OP_SCHEMA | OP_EXEC);
		pg_add_range_var(w, "table", n->cluster_stmt->relation, OP_SCHEMA);
		return true;
	case PG_QUERY__NODE__NODE_REINDEX_STMT: pg_walk_reindex(w, n->reindex_stmt); return true;
	default: return false;
	}
}

bool pg_walk_define(struct pg_walk *w, const PgQuery__Node *n)
{
	return walk_define(w, n) || walk_server(w, n) || walk_foreign(w, n);
}
