// SPDX-License-Identifier: Apache-2.0
/*
 * Statements and portals by name, as far as they matter here: a Bind is judged by what its
 * statement does. When it is not certain which statement a name stands for, all that it may stand
 * for are kept; when nothing is known, the Bind is OP_UNKNOWN. Forgetting is therefore always safe.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	BUCKETS_FIRST = 16,
	SPARES_MAX = 4,
	FACTS_COST = 512, /* a guess for what facts take beside their normal form */
};

static struct slice key_of(struct slice name)
{
	return slice_head(name, PG_NAME_MAX);
}

static void prep_free(struct pg *p, struct pg_prep *s)
{
	p->names.bytes -= s->cost;
	pg_facts_unref(s->facts);
	free(s->oids);
	free(s);
}

void pg_prep_unref(struct pg *p, struct pg_prep *s)
{
	if (--s->refs == 0)
		prep_free(p, s);
}

static void version_remove(struct pg *p, struct pg_prep *s)
{
	if (!s->name)
		return;
	s->name = NULL;
	list_remove(&s->node);
	pg_prep_unref(p, s);
}

static void name_free(struct pg *p, struct pg_name *n)
{
	struct pg_name **at = &p->names.buckets[n->hash & (p->names.n_buckets - 1)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	list_foreach(node, &n->versions)
		version_remove(p, container_of(node, struct pg_prep, node));
	list_remove(&n->node);
	p->names.count--;
	p->names.bytes -= sizeof(*n) + n->len;
	free(n);
}

void pg_names_init(struct pg *p)
{
	list_init(&p->names.all);
	list_init(&p->portals);
	list_init(&p->spare_portals);
}

static void portals_free(struct list_node *head)
{
	list_foreach(node, head) {
		struct pg_portal *o = container_of(node, struct pg_portal, node);

		list_remove(node);
		free(o->formats);
		free(o);
	}
}

/* After pg_pend_done and pg_work_done: nothing else refers to these any more. */
void pg_names_done(struct pg *p)
{
	list_foreach(node, &p->names.all)
		name_free(p, container_of(node, struct pg_name, node));
	free(p->names.buckets);
	p->names.buckets = NULL;
	portals_free(&p->portals);
	portals_free(&p->spare_portals);
}

struct pg_name *pg_name_find(struct pg *p, struct slice name)
{
	struct slice key = key_of(name);
	uint64_t hash;

	if (!p->names.n_buckets)
		return NULL;
	hash = hash_bytes(key, p->shared->key);
	for (struct pg_name *n = p->names.buckets[hash & (p->names.n_buckets - 1)]; n;
	     n = n->next) {
		if (n->hash == hash && slice_eq(slice_of(n->bytes, n->len), key)) {
			list_remove(&n->node);
			list_append(&p->names.all, &n->node);
			return n;
		}
	}
	return NULL;
}

static int buckets_grow(struct pg_names *t)
{
	size_t n = t->n_buckets ? t->n_buckets * 2 : BUCKETS_FIRST;
	struct pg_name **bigger;

	if (t->count < t->n_buckets)
		return 0;
	bigger = calloc(n, sizeof(struct pg_name *));
	if (!bigger)
		return -ENOMEM;
	list_foreach(node, &t->all) {
		struct pg_name *e = container_of(node, struct pg_name, node);

		e->next = bigger[e->hash & (n - 1)];
		bigger[e->hash & (n - 1)] = e;
	}
	free(t->buckets);
	t->buckets = bigger;
	t->n_buckets = n;
	return 0;
}

static struct pg_name *name_get(struct pg *p, struct slice name)
{
	struct pg_name *n = pg_name_find(p, name);
	struct slice key = key_of(name);

	if (n)
		return n;
	if (buckets_grow(&p->names) < 0)
		return NULL;
	n = malloc(sizeof(*n) + key.len);
	if (!n)
		return NULL;
	*n = (struct pg_name){ .hash = hash_bytes(key, p->shared->key), .len = key.len };
	if (key.len)
		memcpy(n->bytes, key.ptr, key.len);
	list_init(&n->versions);
	list_append(&p->names.all, &n->node);
	n->next = p->names.buckets[n->hash & (p->names.n_buckets - 1)];
	p->names.buckets[n->hash & (p->names.n_buckets - 1)] = n;
	p->names.count++;
	p->names.bytes += sizeof(*n) + n->len;
	return n;
}

static bool has_pending(const struct pg_name *n)
{
	/* The newest is last; a confirmed one never stands behind a pending one. */
	return !list_empty(&n->versions) &&
	       !container_of(n->versions.prev, struct pg_prep, node)->confirmed;
}

void pg_names_trim(struct pg *p)
{
	struct pg_names *t = &p->names;

	if (t->count <= PG_NAMES_MAX && t->bytes <= p->lim.message_max)
		return;
	list_foreach(node, &t->all) {
		struct pg_name *n = container_of(node, struct pg_name, node);

		if (t->count <= PG_NAMES_MAX && t->bytes <= p->lim.message_max)
			return;
		if (has_pending(n))
			continue;
		/* A tainted name that is forgotten could be taken for a clean one later. */
		t->all_tainted |= n->tainted;
		name_free(p, n);
	}
}

int pg_prep_new(struct pg *p, const struct pg_work *w, struct pg_prep **ret)
{
	struct slice text = slice_head(w->cands[0].text, p->lim.text_max);
	struct pg_name *n = name_get(p, w->name);
	struct pg_prep *s;

	if (!n)
		return -ENOMEM;
	s = malloc(sizeof(*s) + text.len);
	if (!s)
		return -ENOMEM;
	*s = (struct pg_prep){ .refs = 2, /* the name's and the caller's */
			       .name = n,
			       .batch = p->batch,
			       .seq = p->seq + 1,
			       .full_len = w->cands[0].full_len,
			       .n_oids = w->n_oids };
	if (w->n_oids) {
		s->oids = malloc(w->n_oids * sizeof(s->oids[0]));
		if (!s->oids) {
			free(s);
			return -ENOMEM;
		}
		memcpy(s->oids, w->oids, w->n_oids * sizeof(s->oids[0]));
	}
	if (text.len)
		memcpy(s->bytes, text.ptr, text.len);
	s->text = slice_of(s->bytes, text.len);
	/* The work's reference moves here. */
	s->facts = w->cands[0].facts;
	w->cands[0].facts = NULL;
	s->cost = sizeof(*s) + text.len + w->n_oids * sizeof(s->oids[0]) + FACTS_COST +
		  s->facts->norm.len;
	p->names.bytes += s->cost;
	/* Names are compared by their first 63 bytes, at most servers: longer ones may meet. */
	if (w->name.len > PG_NAME_MAX)
		n->tainted = true;
	list_append(&n->versions, &s->node);
	*ret = s;
	pg_names_trim(p);
	return 0;
}

void pg_prep_confirm(struct pg *p, struct pg_prep *s)
{
	if (!s->name)
		return;
	list_foreach(node, &s->name->versions) {
		struct pg_prep *older = container_of(node, struct pg_prep, node);

		if (older == s)
			break;
		version_remove(p, older);
	}
	s->confirmed = true;
}

void pg_prep_drop(struct pg *p, struct pg_prep *s)
{
	version_remove(p, s);
}

int pg_prep_set_oids(struct pg *p, struct pg_prep *s, struct slice be32s)
{
	size_t n = be32s.len / 4;
	uint32_t *oids;

	if (n == 0)
		return 0;
	oids = malloc(n * sizeof(*oids));
	if (!oids)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		oids[i] = pg_be32(be32s.ptr + 4 * i);
	p->names.bytes += n * sizeof(*oids);
	p->names.bytes -= s->n_oids * sizeof(*oids);
	s->cost += n * sizeof(*oids);
	s->cost -= s->n_oids * sizeof(*oids);
	free(s->oids);
	s->oids = oids;
	s->n_oids = n;
	return 0;
}

static void forget_confirmed(struct pg *p, struct pg_name *n, uint64_t seq)
{
	list_foreach(node, &n->versions) {
		struct pg_prep *s = container_of(node, struct pg_prep, node);

		if (s->confirmed && s->seq < seq)
			version_remove(p, s);
	}
	if (list_empty(&n->versions) && !n->tainted)
		name_free(p, n);
}

void pg_name_closed(struct pg *p, struct slice name, uint64_t seq)
{
	struct pg_name *n = pg_name_find(p, name);

	if (n)
		forget_confirmed(p, n, seq);
}

void pg_names_forget_confirmed(struct pg *p, uint64_t seq)
{
	list_foreach(node, &p->names.all)
		forget_confirmed(p, container_of(node, struct pg_name, node), seq);
}

int pg_name_taint(struct pg *p, struct slice name)
{
	struct pg_name *n;

	if (p->names.all_tainted)
		return 0;
	if (!name.len) {
		p->names.all_tainted = true;
		return 0;
	}
	n = name_get(p, name);
	if (!n)
		return -ENOMEM;
	n->tainted = true;
	pg_names_trim(p);
	return 0;
}

/* ---- portals ------------------------------------------------------------------------------------ */

void pg_portal_unref(struct pg *p, struct pg_portal *o)
{
	if (--o->refs)
		return;
	if (p->n_spares < SPARES_MAX) {
		list_append(&p->spare_portals, &o->node);
		p->n_spares++;
		return;
	}
	free(o->formats);
	free(o);
}

void pg_portal_forget(struct pg *p, struct pg_portal *o)
{
	list_remove(&o->node);
	p->n_portals--;
	pg_portal_unref(p, o);
}

struct pg_portal *pg_portal_find(struct pg *p, struct slice name)
{
	name = key_of(name);
	for (struct list_node *at = p->portals.prev; at != &p->portals; at = at->prev) {
		struct pg_portal *o = container_of(at, struct pg_portal, node);

		if (slice_eq(slice_of(o->name, o->len), name))
			return o;
	}
	return NULL;
}

int pg_portal_bind(struct pg *p, const struct pg_work *w, struct pg_portal **ret)
{
	struct pg_portal *old = pg_portal_find(p, w->portal), *o;
	struct pg_reader formats = w->formats;
	struct slice key = key_of(w->portal);

	if (!list_empty(&p->spare_portals)) {
		o = container_of(p->spare_portals.next, struct pg_portal, node);
		list_remove(&o->node);
		p->n_spares--;
	} else {
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOMEM;
	}
	*o = (struct pg_portal){ .refs = 2, /* the list's and the caller's */
				 .op = w->first_op + w->n_ops - 1,
				 .seq = p->seq + 1,
				 .len = key.len,
				 .formats = o->formats,
				 .cap_formats = o->cap_formats };
	list_init(&o->node);
	if (key.len)
		memcpy(o->name, key.ptr, key.len);
	if (w->n_formats > o->cap_formats) {
		uint8_t *bigger = realloc(o->formats, w->n_formats);

		if (!bigger) {
			free(o->formats);
			free(o);
			return -ENOMEM;
		}
		o->formats = bigger;
		o->cap_formats = w->n_formats;
	}
	for (unsigned i = 0; i < w->n_formats; i++)
		o->formats[i] = pg_read_u16(&formats) != 0;
	o->n_formats = w->n_formats;
	/* Replacing at once is right even if this Bind fails: an Execute is not judged by the
	 * portal, which only says whose results come. */
	if (old)
		pg_portal_forget(p, old);
	if (p->n_portals >= PG_PORTALS_MAX)
		pg_portal_forget(p, container_of(p->portals.next, struct pg_portal, node));
	list_append(&p->portals, &o->node);
	p->n_portals++;
	*ret = o;
	return 0;
}

void pg_portals_end(struct pg *p, uint64_t seq)
{
	list_foreach(node, &p->portals) {
		struct pg_portal *o = container_of(node, struct pg_portal, node);

		if (o->seq < seq)
			pg_portal_forget(p, o);
	}
}
