// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a script, and golden files as such bytes. The form is told in proto_harness.h. */
#include "support/proto_harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 32 };

/* Whoever holds bodies answers "Expect: 100-continue" in the server's place. */
static bool expects(const uint8_t *data, size_t size)
{
	static const char word[] = "100-CONTINUE";

	for (size_t i = 0; i + sizeof(word) - 1 <= size; i++)
		if (slice_ieq(slice_of(data + i, sizeof(word) - 1), slice_str(word)))
			return true;
	return false;
}

void harness_fuzz(const struct proto_class *class, const struct proto_limits *lim,
		  const uint8_t *data, size_t size)
{
	struct harness_step steps[STEPS];
	unsigned deny[STEPS];
	struct harness_script s = {
		.class = class, .limits = lim, .steps = steps, .deny = deny, .partial = true
	};
	uint8_t *side[2] = { malloc(size + 1), malloc(size + 1) };
	size_t at[2] = { 0, 0 };

	if (!side[0] || !side[1])
		abort();
	s.foreign = lim->body_max && expects(data, size);
	while (size >= 3 && s.n_steps < STEPS) {
		enum dir d = data[0] & 1;
		size_t len = MIN((size_t)(data[1] << 8 | data[2]), size - 3);

		if (data[0] & 4)
			deny[s.n_deny++] = (unsigned)s.n_steps + 1;
		/* One direction's bytes lie side by side: leftovers are joined with what follows. */
		memcpy(side[d] + at[d], data + 3, len);
		steps[s.n_steps++] =
			(struct harness_step){ d, slice_of(side[d] + at[d], len), data[0] & 2 };
		at[d] += len;
		data += 3 + len;
		size -= 3 + len;
	}
	if (harness_check_quick(&s) < 0)
		abort();
	free(side[0]);
	free(side[1]);
}

/* The script of a golden file in the form that harness_fuzz takes. 0 or -1. */
static int seed_encode(const struct golden_script *g, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->script.n_steps; i++) {
		const struct harness_step *st = &g->steps[i];
		uint8_t flags = st->dir == DIR_TO_CLIENT;

		flags |= st->eof ? 2 : 0;
		for (size_t k = 0; k < g->script.n_deny; k++)
			flags |= g->deny[k] == i + 1 ? 4 : 0;
		r = buf_put_u8(out, flags);
		if (r == 0)
			r = buf_put_be16(out, (uint16_t)st->bytes.len);
		if (r == 0)
			r = buf_put_slice(out, st->bytes);
	}
	return r;
}

static int seed_write(const char *path, struct slice s)
{
	FILE *f = fopen(path, "we");
	bool ok = f && fwrite(s.ptr, 1, s.len, f) == s.len;

	return f && fclose(f) == 0 && ok ? 0 : -1;
}

/* Is the seed there and what the golden file says? */
static int seed_one(const struct proto_class *class, const char *golden, const char *seed)
{
	const char *update = getenv("WEIR_GOLDEN_UPDATE");
	struct golden_script g;
	struct buf want;
	size_t len = 0;
	uint8_t *text = harness_file_read(golden, &len), *have;
	int r = -1;

	buf_init(&want, 1 << 20);
	if (text && golden_script_parse(class, slice_of(text, len), golden, &g) == 0) {
		golden_script_wire(&g);
		r = seed_encode(&g, &want);
		golden_script_done(&g);
	}
	if (r == 0 && update && *update == '1') {
		r = seed_write(seed, buf_peek(&want));
	} else if (r == 0) {
		have = harness_file_read(seed, &len);
		if (!have || !slice_eq(slice_of(have, len), buf_peek(&want))) {
			fprintf(stderr, "%s: not what %s says; WEIR_GOLDEN_UPDATE=1 writes it\n",
				seed, golden);
			r = -1;
		}
		free(have);
	}
	buf_done(&want);
	free(text);
	return r;
}

int harness_seeds(const struct proto_class *class, const char *golden, const char *corpus)
{
	struct dirent **names;
	int n = scandir(golden, &names, NULL, alphasort), bad = 0, seen = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %m\n", golden);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char *dot = strrchr(names[i]->d_name, '.');
		char from[4096], to[4096];

		if (dot && strcmp(dot, ".txt") == 0 &&
		    snprintf(from, sizeof(from), "%s/%s", golden, names[i]->d_name) <
			    (int)sizeof(from)) {
			*dot = '\0';
			seen++;
			bad += snprintf(to, sizeof(to), "%s/%s", corpus, names[i]->d_name) >=
				       (int)sizeof(to) ||
			       seed_one(class, from, to) < 0;
		}
		free(names[i]);
	}
	free(names);
	return seen ? bad : -1;
}
