// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

enum { EVENTS_FIRST = 8 };

void pg_events_recycle(struct pg *p)
{
	if (p->ev_count)
		return;
	p->ev_head = 0;
	buf_consume(&p->data, buf_len(&p->data));
	if (p->ev_arena._used > PG_ARENA_KEEP)
		arena_done(&p->ev_arena);
	else
		arena_reset(&p->ev_arena);
}

int pg_events_next(struct pg *p, struct proto_event *ret)
{
	struct pg_event *ev;

	if (!p->ev_count)
		return 0;
	ev = &p->events[p->ev_head];
	*ret = ev->e;
	if (ev->e.type == PROTO_DATA)
		ret->data = slice_of(buf_peek(&p->data).ptr + ev->data_at, ev->e.data.len);
	p->ev_head = (p->ev_head + 1) & (p->ev_cap - 1);
	p->ev_count--;
	return 1;
}

static int room(struct pg *p)
{
	size_t cap = p->ev_cap ? p->ev_cap * 2 : EVENTS_FIRST;
	struct pg_event *bigger;

	if (p->ev_count < p->ev_cap)
		return 0;
	bigger = calloc(cap, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (size_t i = 0; i < p->ev_count; i++)
		bigger[i] = p->events[(p->ev_head + i) & (p->ev_cap - 1)];
	free(p->events);
	p->events = bigger;
	p->ev_cap = cap;
	p->ev_head = 0;
	return 0;
}

static struct pg_event *newest(struct pg *p)
{
	return &p->events[(p->ev_head + p->ev_count - 1) & (p->ev_cap - 1)];
}

int pg_event_push(struct pg *p, const struct proto_event *e)
{
	int r = room(p);

	if (r < 0)
		return r;
	p->ev_count++;
	*newest(p) = (struct pg_event){ .e = *e };
	return 0;
}

enum { EVENT_COST = 64 }; /* of an event's record beside its text */

bool pg_event_afford(struct pg *p, size_t len)
{
	if (p->extra_op != p->next_op) {
		p->extra_op = p->next_op;
		p->extra = 0;
	}
	if (p->extra > p->lim.record_max)
		return false;
	p->extra += EVENT_COST + MIN(len, p->lim.text_max);
	return true;
}

/* The first that has no room says so, the rest is silent. */
static int note_afford(struct pg *p, const struct op_attr *attrs, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += attrs[i].type == OP_ATTR_TEXT ? MIN(attrs[i].s.len, p->lim.text_max) : 0;
	if (!pg_event_afford(p, len))
		return 0;
	if (p->extra <= p->lim.record_max)
		return 1;
	return pg_event_push(p, &(struct proto_event){ .type = PROTO_NOTE,
						       .text = "further notes are left out" });
}

int pg_event_attrs(struct pg *p, enum proto_event_type type, uint64_t op, const char *text,
		   bool failed, const struct op_attr *attrs, size_t n)
{
	struct op_attr *copy;

	if (type == PROTO_NOTE) {
		int r = note_afford(p, attrs, n);

		if (r != 1)
			return r;
	}
	copy = n ? arena_array(&p->ev_arena, n, sizeof(*copy)) : NULL;
	if (n && !copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		copy[i] = attrs[i];
		if (attrs[i].type == OP_ATTR_TEXT &&
		    arena_dup(&p->ev_arena, slice_head(attrs[i].s, p->lim.text_max), &copy[i].s) <
			    0)
			return -ENOMEM;
	}
	return pg_event_push(p, &(struct proto_event){ .type = type,
						       .op_id = op,
						       .text = text,
						       .failed = failed,
						       .attrs = copy,
						       .n_attrs = n });
}

int pg_event_data(struct pg *p, uint64_t op, enum dir d, struct slice s, size_t *recorded)
{
	size_t at = buf_len(&p->data);
	int r;

	s = slice_head(s, p->lim.record_max > *recorded ? p->lim.record_max - *recorded : 0);
	if (!s.len || !op)
		return 0;
	if (p->ev_count) {
		struct pg_event *last = newest(p);

		/* What next() has given out already is not touched: it is no longer counted. */
		if (last->e.type == PROTO_DATA && last->e.op_id == op && last->e.dir == d &&
		    last->data_at + last->e.data.len == at) {
			r = buf_put_slice(&p->data, s);
			if (r < 0)
				return r;
			last->e.data.len += s.len;
			*recorded += s.len;
			return 0;
		}
	}
	r = room(p);
	if (r < 0)
		return r;
	r = buf_put_slice(&p->data, s);
	if (r < 0)
		return r;
	p->ev_count++;
	*newest(p) = (struct pg_event){
		.e = { .type = PROTO_DATA, .op_id = op, .dir = d, .data.len = s.len }, .data_at = at
	};
	*recorded += s.len;
	return 0;
}

int pg_event_end(struct pg *p)
{
	int r;

	if (p->ended)
		return 0;
	r = pg_event_push(p, &(struct proto_event){ .type = PROTO_END });
	if (r < 0)
		return r;
	p->ended = true;
	p->phase = PG_PHASE_DONE;
	return 0;
}
