// SPDX-License-Identifier: Apache-2.0
/*
 * One entry for each forwarded client message that the server answers, in order. It says which
 * answers fit, whose result they are, and whether an error is to be rewritten.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

enum { PEND_FIRST = 8 };

struct pg_pend *pg_pend_push(struct pg *p, enum pg_pend_kind kind)
{
	struct pg_pend *e;

	if (p->pend_count == p->pend_cap) {
		size_t cap = p->pend_cap ? p->pend_cap * 2 : PEND_FIRST;
		struct pg_pend *bigger = calloc(cap, sizeof(*bigger));

		if (!bigger)
			return NULL;
		for (size_t i = 0; i < p->pend_count; i++)
			bigger[i] = *pg_pend_at(p, i);
		free(p->pend);
		p->pend = bigger;
		p->pend_cap = cap;
		p->pend_head = 0;
	}
	e = pg_pend_at(p, p->pend_count++);
	*e = (struct pg_pend){ .kind = kind, .seq = ++p->seq };
	return e;
}

static void release(struct pg *p, struct pg_pend *e)
{
	if (e->prep)
		pg_prep_unref(p, e->prep);
	if (e->portal)
		pg_portal_unref(p, e->portal);
	if (e->bound)
		pg_portal_unref(p, e->bound);
	free(e->refusal);
	e->prep = NULL;
	e->portal = e->bound = NULL;
	e->refusal = NULL;
}

void pg_pend_pop(struct pg *p)
{
	release(p, pg_pend_at(p, 0));
	p->pend_head = (p->pend_head + 1) & (p->pend_cap - 1);
	p->pend_count--;
}

struct pg_pend *pg_pend_head(struct pg *p)
{
	/* The server ignores CopyDone and CopyFail that it did not ask for. */
	while (p->pend_count && pg_pend_at(p, 0)->kind == PG_PEND_COPY_END)
		pg_pend_pop(p);
	return p->pend_count ? pg_pend_at(p, 0) : NULL;
}

int pg_result_skipped(struct pg *p, uint64_t first, uint64_t n)
{
	struct op_attr attr = pg_attr_bool("skipped", true);
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < n; i++)
		r = pg_event_attrs(p, PROTO_RESULT, first + i, NULL, true, &attr, 1);
	return r;
}

void pg_sync_maybe(struct pg *p)
{
	p->maybe_sync++;
	p->maybe_seq = p->seq;
}

int pg_pend_skip_to_sync(struct pg *p)
{
	struct pg_pend *e;
	int r;

	p->copy_in = p->copy_out = false;
	while ((e = pg_pend_head(p)) && e->kind != PG_PEND_SYNC) {
		if (e->kind == PG_PEND_PARSE && e->prep)
			pg_prep_drop(p, e->prep);
		/* An Execute's operation is that of its Bind: one of the two says so. */
		r = pg_result_skipped(p, e->op, e->n_ops);
		if (r == 0 && e->portal && !e->portal->answered && e->kind == PG_PEND_EXECUTE)
			r = pg_result_skipped(p, e->portal->op, 1);
		if (r < 0)
			return r;
		if (e->bound)
			e->bound->answered = true;
		if (e->portal)
			e->portal->answered = true;
		pg_pend_pop(p);
	}
	p->skipping = !e;
	return 0;
}

void pg_pend_done(struct pg *p)
{
	while (p->pend_count)
		pg_pend_pop(p);
	free(p->pend);
	p->pend = NULL;
	p->pend_cap = 0;
}
