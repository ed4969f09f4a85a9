// SPDX-License-Identifier: Apache-2.0
/* Roles, privileges, ownership, row security. */
#include "sql_walk.h"

static void roles(struct pg_walk *w, size_t n, PgQuery__Node **nodes, uint32_t access)
{
	for (size_t i = 0; i < n; i++) {
		if (nodes[i]->node_case == PG_QUERY__NODE__NODE_ACCESS_PRIV)
			pg_add_named(w, "role", nodes[i]->access_priv->priv_name, access);
		else
			pg_add_node_name(w, "role", nodes[i], access);
	}
}

static void walk_grant(struct pg_walk *w, const PgQuery__GrantStmt *g)
{
	const char *kind = pg_type_kind(g->objtype);

	pg_verb(w, g->is_grant ? "GRANT" : "REVOKE", OP_GRANT);
	if (g->targtype == PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_ALL_IN_SCHEMA)
		kind = "schema";
	pg_attr_text(w, "object", slice_str(pg_type_word(g->objtype)));
	for (size_t i = 0; i < g->n_objects; i++)
		pg_add_node_name(w, kind, g->objects[i], OP_GRANT);
	roles(w, g->n_grantees, g->grantees, OP_GRANT);
}

static void role_options(struct pg_walk *w, size_t n, PgQuery__Node **options)
{
	for (size_t i = 0; i < n; i++) {
		const PgQuery__DefElem *d;

		if (options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM)
			continue;
		d = options[i]->def_elem;
		if (d->defname && strcmp(d->defname, "password") == 0)
			pg_attr_bool(w, "password", true);
		if (d->defname && strcmp(d->defname, "superuser") == 0 && d->arg &&
		    d->arg->node_case == PG_QUERY__NODE__NODE_BOOLEAN && d->arg->boolean->boolval)
			pg_attr_bool(w, "superuser", true);
		if (d->arg && d->arg->node_case == PG_QUERY__NODE__NODE_LIST)
			roles(w, d->arg->list->n_items, d->arg->list->items, OP_GRANT);
	}
}

bool pg_walk_role(struct pg_walk *w, const PgQuery__Node *n)
{
	switch (n->node_case) {
	case PG_QUERY__NODE__NODE_GRANT_STMT: walk_grant(w, n->grant_stmt); return true;
	case PG_QUERY__NODE__NODE_GRANT_ROLE_STMT:
		pg_verb(w, n->grant_role_stmt->is_grant ? "GRANT" : "REVOKE", OP_GRANT);
		pg_attr_text(w, "object", SLICE("role"));
		roles(w, n->grant_role_stmt->n_granted_roles, n->grant_role_stmt->granted_roles,
		      OP_GRANT);
		roles(w, n->grant_role_stmt->n_grantee_roles, n->grant_role_stmt->grantee_roles,
		      OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT:
		pg_ddl(w, "ALTER", "default privileges", OP_SCHEMA | OP_GRANT);
		if (n->alter_default_privileges_stmt->action)
			walk_grant(w, n->alter_default_privileges_stmt->action);
		pg_attr_text(w, "object", SLICE("default privileges"));
		return true;
	case PG_QUERY__NODE__NODE_CREATE_ROLE_STMT:
		pg_ddl(w, "CREATE", "role", OP_GRANT);
		pg_add_named(w, "role", n->create_role_stmt->role, OP_GRANT);
		role_options(w, n->create_role_stmt->n_options, n->create_role_stmt->options);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_ROLE_STMT:
		pg_ddl(w, "ALTER", "role", OP_GRANT);
		pg_add_role(w, n->alter_role_stmt->role, OP_GRANT);
		role_options(w, n->alter_role_stmt->n_options, n->alter_role_stmt->options);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT:
		pg_ddl(w, "ALTER", "role", OP_GRANT | OP_ADMIN);
		pg_add_role(w, n->alter_role_set_stmt->role, OP_GRANT);
		pg_add_named(w, "database", n->alter_role_set_stmt->database, OP_ADMIN);
		if (n->alter_role_set_stmt->setstmt)
			pg_add_named(w, "setting", n->alter_role_set_stmt->setstmt->name, OP_ADMIN);
		return true;
	case PG_QUERY__NODE__NODE_DROP_ROLE_STMT:
		pg_ddl(w, "DROP", "role", OP_GRANT);
		roles(w, n->drop_role_stmt->n_roles, n->drop_role_stmt->roles, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_REASSIGN_OWNED_STMT:
		pg_verb(w, "REASSIGN OWNED", OP_GRANT | OP_SCHEMA);
		roles(w, n->reassign_owned_stmt->n_roles, n->reassign_owned_stmt->roles, OP_GRANT);
		pg_add_role(w, n->reassign_owned_stmt->newrole, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_DROP_OWNED_STMT:
		/* All that they own, whatever it is. */
		pg_verb(w, "DROP OWNED", OP_GRANT | OP_SCHEMA | OP_DELETE | OP_UNKNOWN);
		roles(w, n->drop_owned_stmt->n_roles, n->drop_owned_stmt->roles,
		      OP_GRANT | OP_DELETE);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_OWNER_STMT:
		pg_ddl(w, "ALTER", pg_type_word(n->alter_owner_stmt->object_type),
		       pg_type_effects(n->alter_owner_stmt->object_type) | OP_GRANT);
		pg_attr_text(w, "action", SLICE("owner"));
		pg_add_range_var(w, "table", n->alter_owner_stmt->relation, OP_GRANT);
		pg_add_node_name(w, pg_type_kind(n->alter_owner_stmt->object_type),
				 n->alter_owner_stmt->object, OP_GRANT);
		pg_add_role(w, n->alter_owner_stmt->newowner, OP_GRANT);
		return true;
	case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
		pg_ddl(w, "CREATE", "policy", OP_SCHEMA | OP_GRANT);
		pg_add_named(w, "policy", n->create_policy_stmt->policy_name, OP_SCHEMA);
		pg_add_range_var(w, "table", n->create_policy_stmt->table, OP_SCHEMA | OP_GRANT);
		pg_walk_node(w, n->create_policy_stmt->qual);
		pg_walk_node(w, n->create_policy_stmt->with_check);
		return true;
	case PG_QUERY__NODE__NODE_ALTER_POLICY_STMT:
		pg_ddl(w, "ALTER", "policy", OP_SCHEMA | OP_GRANT);
		pg_add_named(w, "policy", n->alter_policy_stmt->policy_name, OP_SCHEMA);
		pg_add_range_var(w, "table", n->alter_policy_stmt->table, OP_SCHEMA | OP_GRANT);
		pg_walk_node(w, n->alter_policy_stmt->qual);
		pg_walk_node(w, n->alter_policy_stmt->with_check);
		return true;
	default: return false;
	}
}
