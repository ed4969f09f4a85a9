// SPDX-License-Identifier: Apache-2.0
/* "functions": what functions do that only the operator knows. */
#include <errno.h>

#include "compiled.h"

static int by_name(const void *a, const void *b)
{
	return slice_cmp(((const struct function *)a)->name, ((const struct function *)b)->name);
}

static int effects_load(struct load *l, const struct place *at, const json_t *v, uint32_t *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "an effect or a list of effects", &list);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		struct place here;
		const json_t *item = load_list_get(&list, i, &here);
		size_t word;

		r = load_word(l, &here, item, op_effect_names, OP_EFFECT_COUNT, &word);
		if (r < 0)
			return r;
		*ret |= 1u << word;
	}
	return 0;
}

int policy_functions_load(struct load *l, const struct place *at, const json_t *v, struct policy *p)
{
	const char *key;
	json_t *value;
	int r;

	if (!json_is_object(v) || json_object_size(v) == 0)
		return load_fail(l, at, "expected an object with at least one function, not %s",
				 json_is_object(v) ? "an empty one" : load_type(v));
	if (json_object_size(v) > POLICY_FUNCTIONS_MAX)
		return load_fail_limit(l, at, "%zu functions: a policy holds at most %d",
				       json_object_size(v), POLICY_FUNCTIONS_MAX);
	r = load_alloc(l, json_object_size(v), sizeof(*p->functions), &p->functions);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)v, key, value) {
		struct place here = { at, key, 0 };
		struct function *f = &p->functions[p->n_functions];

		if (strcmp(key, "comment") == 0)
			continue; /* as in every object of the language */
		if (!*key || strlen(key) > PATTERN_MAX || strpbrk(key, "*? ()"))
			return load_fail_key(l, &here,
					     "\"%s\" is not the name of a function (no wildcards, "
					     "no arguments)",
					     load_quote(l, key));
		r = effects_load(l, &here, value, &f->effects);
		if (r < 0)
			return r;
		r = arena_dup(l->arena, slice_str(key), &f->name);
		if (r < 0)
			return r;
		p->n_functions++;
	}
	qsort(p->functions, p->n_functions, sizeof(*p->functions), by_name);
	return 0;
}

const struct function *policy_function_find(const struct policy *p, struct slice name)
{
	struct function key = { .name = name };

	return p->n_functions ? bsearch(&key, p->functions, p->n_functions, sizeof(key), by_name)
			      : NULL;
}

uint32_t policy_functions_effects(const struct policy *p, const struct op *op, bool *ret_applies)
{
	const struct op_attr *by = op_attr_find(op, "unknown_by");
	uint32_t declared = 0;
	bool any = false;

	*ret_applies = false;
	if (!p->n_functions || !by || by->type != OP_ATTR_TEXT ||
	    !slice_eq(by->s, SLICE("functions")))
		return op->effects;
	for (size_t i = 0; i < op->n_objects; i++) {
		const struct op_object *o = &op->objects[i];
		const struct function *f;

		if (strcmp(o->kind, "function") != 0 || !(o->access & OP_UNKNOWN))
			continue;
		f = policy_function_find(p, o->name);
		if (!f)
			return op->effects; /* one that nobody declared: all stays as it was */
		declared |= f->effects;
		any = true;
	}
	if (!any)
		return op->effects;
	*ret_applies = true;
	return (op->effects & ~(uint32_t)(OP_EXEC | OP_UNKNOWN)) | declared;
}
