// SPDX-License-Identifier: Apache-2.0
/*
 * pg_facts: a JSON string of SQL a line on standard input, a JSON array a line on standard output, of
 * what Weir says of its statements: {verb, effects, objects: [[kind, name, access]], attrs, …}. A line
 * that is an object is a catalogue with the members of sql_catalog.h, bits as lists of words, known from
 * there on; null forgets it. For tests, and for people who wonder.
 */
#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/pg/sql_catalog.h"
#include "proto/pg/sql.h"

static json_t *words(uint32_t effects)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++)
		if (effects & 1U << i)
			json_array_append_new(a, json_string(op_effect_names[i]));
	return a;
}

static json_t *text(struct slice s)
{
	json_t *j = json_stringn((const char *)s.ptr, s.len);

	return j ? j : json_string("(not UTF-8)");
}

static json_t *stmt_dump(const struct pg_stmt *st, const char *sql)
{
	json_t *objects = json_array(), *attrs = json_object();

	for (size_t i = 0; i < st->n_objects; i++)
		json_array_append_new(objects, json_pack("[s,o,o]", st->objects[i].kind,
							 text(st->objects[i].name),
							 words(st->objects[i].access)));
	for (size_t i = 0; i < st->n_attrs; i++) {
		const struct op_attr *a = &st->attrs[i];

		json_object_set_new(attrs, a->key,
				    a->type == OP_ATTR_BOOL  ? json_boolean(a->b)
				    : a->type == OP_ATTR_INT ? json_integer(a->i)
							     : text(a->s));
	}
	return json_pack("{ss,so,so,so,so,sb,sb}", "verb", st->verb, "effects", words(st->effects),
			 "objects", objects, "attrs", attrs, "text",
			 text(slice_of(sql + st->offset, st->len)), "copy_in", st->copy_in,
			 "copy_out", st->copy_out);
}

static struct slice member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? slice_str(s) : SLICE_NONE;
}

static uint32_t bits(const json_t *list)
{
	uint32_t ret = 0;
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v)
		ret |= op_effect_parse(slice_str(json_string_value(v)));
	return ret;
}

static void *array_new(const json_t *list, size_t size)
{
	void *p = calloc(json_array_size(list) + 1, size);

	if (!p)
		errx(1, "no memory");
	return p;
}

static void relation_read(const json_t *v, struct pg_catalog_relation *ret)
{
	const json_t *list = json_object_get(v, "also");
	struct pg_catalog_also *also = array_new(list, sizeof(*also));
	size_t i;
	json_t *o;

	json_array_foreach(list, i, o)
		also[i] = (struct pg_catalog_also){
			.on = bits(json_object_get(o, "on")),
			.schema = member(o, "schema"),
			.name = member(o, "name"),
			.access = bits(json_object_get(o, "access")),
		};
	*ret = (struct pg_catalog_relation){
		.schema = member(v, "schema"),
		.name = member(v, "name"),
		.code = bits(json_object_get(v, "code")),
		.view = member(v, "view"),
		.materialized = json_is_true(json_object_get(v, "materialized")),
		.also = also,
		.n_also = json_array_size(list),
	};
}

static struct slice *names_read(const json_t *list)
{
	struct slice *names = array_new(list, sizeof(*names));
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v)
		names[i] = slice_str(json_string_value(v));
	return names;
}

static void catalog_read(struct pg_sql *s, const json_t *in)
{
	const json_t *rels = json_object_get(in, "relations");
	const json_t *funcs = json_object_get(in, "functions");
	struct pg_catalog_relation *relations = array_new(rels, sizeof(*relations));
	struct pg_catalog_function *functions = array_new(funcs, sizeof(*functions));
	struct slice *operators = names_read(json_object_get(in, "operators"));
	struct slice *types = names_read(json_object_get(in, "types"));
	const struct pg_catalog c = {
		.relations = relations,
		.n_relations = json_array_size(rels),
		.functions = functions,
		.n_functions = json_array_size(funcs),
		.operators = operators,
		.n_operators = json_array_size(json_object_get(in, "operators")),
		.types = types,
		.n_types = json_array_size(json_object_get(in, "types")),
		.event_triggers = json_is_true(json_object_get(in, "event_triggers")),
	};
	size_t i;
	json_t *v;

	json_array_foreach(rels, i, v)
		relation_read(v, &relations[i]);
	json_array_foreach(funcs, i, v)
		functions[i] = (struct pg_catalog_function){ .name = member(v, "name"),
							     .of_row = json_is_true(json_object_get(
								     v, "of_row")) };
	if (pg_sql_set_catalog(s, json_is_null(in) ? NULL : &c) < 0)
		errx(1, "the catalogue is not taken");
	for (i = 0; i < c.n_relations; i++)
		free((void *)relations[i].also);
	free(relations);
	free(functions);
	free(operators);
	free(types);
}

int main(void)
{
	struct pg_sql *s;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	if (pg_sql_new(64, 1 << 20, &s) < 0)
		errx(1, "no memory");
	while ((len = getline(&line, &cap, stdin)) > 0) {
		json_t *in = json_loadb(line, (size_t)len, JSON_DECODE_ANY, NULL);
		json_t *out;
		const struct pg_facts *f;
		const char *sql = json_string_value(in);

		if (json_is_object(in) || json_is_null(in)) {
			catalog_read(s, in);
			json_decref(in);
			continue;
		}
		if (!sql)
			errx(2, "a line is neither a string nor an object");
		out = json_array();
		if (pg_sql_facts(s, slice_of(sql, json_string_length(in)), NULL, &f) < 0)
			errx(1, "no memory");
		for (size_t i = 0; i < f->n_stmts; i++)
			json_array_append_new(out, stmt_dump(&f->stmts[i], sql));
		pg_facts_unref(f);
		if (json_dumpf(out, stdout, JSON_COMPACT) < 0 || puts("") < 0 || fflush(stdout))
			err(1, "output");
		json_decref(out);
		json_decref(in);
	}
	free(line);
	pg_sql_free(s);
	return 0;
}
