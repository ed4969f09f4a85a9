// SPDX-License-Identifier: Apache-2.0
#include "op.h"

#include "compiler.h"

const char *const op_effect_names[OP_EFFECT_COUNT] = { "read",  "write",   "delete", "schema",
						       "grant", "exec",    "file",   "network",
						       "admin", "session", "unknown" };

const char *const verdict_names[VERDICT_COUNT] = { "allow", "hold", "block" };

char *op_effects_format(uint32_t effects, char *out, size_t size)
{
	size_t n = 0;

	if (size)
		out[0] = '\0';
	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++) {
		size_t len = strlen(op_effect_names[i]);

		if (!(effects & (1u << i)))
			continue;
		if (n + len + 2 > size)
			break;
		if (n)
			out[n++] = ' ';
		memcpy(out + n, op_effect_names[i], len + 1);
		n += len;
	}
	return out;
}

uint32_t op_effect_parse(struct slice word)
{
	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++)
		if (slice_eq_str(word, op_effect_names[i]))
			return 1u << i;
	return 0;
}

const struct op_attr *op_attr_find(const struct op *op, const char *key)
{
	for (size_t i = 0; i < op->n_attrs; i++)
		if (strcmp(op->attrs[i].key, key) == 0)
			return &op->attrs[i];
	return NULL;
}
