// SPDX-License-Identifier: Apache-2.0
/* An operation on hold as people and programs are shown it, and the digests over it. */
#include "approvals_int.h"

#include <errno.h>

#include "base/clock.h"
#include "base/json.h"

enum {
	PART_MAX = 64 * 1024,      /* bytes of one part after which no element is begun */
	PART_BUF_MAX = 192 * 1024, /* and of the whole part */
	ELEMENT_MAX = 4096,        /* bytes shown of one element */
	TEXT_SHORT = 400,          /* bytes of the text in listings */
	TEXT_SAFE = 16 * 1024,     /* of a text that does not fit when escaped */
	DIGEST_INPUT_MAX = 64 * 1024 * 1024,
};

/* ---- digests -------------------------------------------------------------------------------- */

/* Fields are told apart by their lengths, so no two operations make the same bytes. */
static int put(struct buf *b, struct slice s)
{
	int r = buf_put_be32(b, (uint32_t)s.len);

	return r < 0 ? r : buf_put_slice(b, s);
}

static int put_u64(struct buf *b, uint64_t v)
{
	return put(b, slice_of(&v, sizeof(v)));
}

static int put_op(struct buf *b, const struct op *op)
{
	int r = put(b, slice_str(op->protocol));

	r = r < 0 ? r : put(b, op->verb);
	r = r < 0 ? r : put_u64(b, op->effects);
	r = r < 0 ? r : put_u64(b, op->fingerprint);
	r = r < 0 ? r : put(b, op->text);
	r = r < 0 ? r : put_u64(b, op->text_cut | (op->body_cut ? 2 : 0));
	r = r < 0 ? r : put(b, op->query);
	r = r < 0 ? r : put(b, op->body);
	r = r < 0 ? r : put_u64(b, op->n_objects);
	for (size_t i = 0; r == 0 && i < op->n_objects; i++) {
		r = put(b, slice_str(op->objects[i].kind));
		r = r < 0 ? r : put(b, op->objects[i].name);
		r = r < 0 ? r : put_u64(b, op->objects[i].access);
	}
	r = r < 0 ? r : put_u64(b, op->n_params);
	for (size_t i = 0; r == 0 && i < op->n_params; i++) {
		r = put_u64(b, op->params[i].null);
		r = r < 0 ? r : put(b, op->params[i].text);
	}
	return r;
}

static int digest(struct buf *b, int r, uint8_t ret[SHA256_LEN])
{
	if (r == 0)
		r = sha256_bytes(buf_peek(b), ret);
	buf_done(b);
	return r;
}

int approval_digest(const struct approval_ask *ask, uint8_t ret[SHA256_LEN])
{
	struct buf b;
	int r;

	buf_init(&b, DIGEST_INPUT_MAX);
	r = put(&b, SLICE("weir held operation 1"));
	r = r < 0 ? r : put(&b, slice_of(ask->session->id.bytes, sizeof(ask->session->id.bytes)));
	r = r < 0 ? r : put_u64(&b, ask->op->id);
	r = r < 0 ? r : put(&b, slice_str(ask->target));
	r = r < 0 ? r : put(&b, slice_of(&ask->session->dst, sizeof(ask->session->dst)));
	r = r < 0 ? r : put_op(&b, ask->op);
	return digest(&b, r, ret);
}

int approval_key(const struct approval_ask *ask, uint8_t ret[SHA256_LEN])
{
	const struct verdict_hold *h = ask->verdict->hold;
	const struct identity *id = &ask->session->identity;
	struct buf b;
	int r;

	buf_init(&b, DIGEST_INPUT_MAX);
	r = put(&b, SLICE("weir remembered approval 1"));
	if (h->remember_session)
		r = r < 0 ? r : put(&b, slice_of(ask->session->id.bytes, 16));
	r = r < 0 ? r : put_u64(&b, id->cgroup_id);
	r = r < 0 ? r : put(&b, slice_str(id->cgroup_path));
	r = r < 0 ? r : put(&b, slice_str(ask->target));
	r = r < 0 ? r : put(&b, slice_of(&ask->session->dst, sizeof(ask->session->dst)));
	/* Another policy, even of the same name, asks anew. */
	r = r < 0 ? r : put(&b, slice_of(ask->policy_hash, ask->policy_hash ? 32 : 0));
	r = r < 0 ? r : put(&b, slice_str(ask->verdict->rule));
	r = r < 0 ? r : put_op(&b, ask->op);
	return digest(&b, r, ret);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static int put_time(struct buf *b, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	return json_put_member(b, key, slice_str(clock_format(ns, text)));
}

static int put_bool(struct buf *b, const char *key, bool v)
{
	int r = json_put_key(b, key);

	return r < 0 ? r : buf_put_str(b, v ? "true" : "false");
}

static int put_hex(struct buf *b, const char *key, const uint8_t *digest32)
{
	char text[SHA256_TEXT_MAX];

	return json_put_member(b, key, slice_str(sha256_format(digest32, text)));
}

static int put_effects(struct buf *b, const char *key, uint32_t effects)
{
	bool first = true;
	int r = json_put_key(b, key);

	r = r < 0 ? r : buf_put_u8(b, '[');
	for (unsigned i = 0; r == 0 && i < OP_EFFECT_COUNT; i++)
		if (effects & 1u << i) {
			r = buf_printf(b, "%s\"%s\"", first ? "" : ",", op_effect_names[i]);
			first = false;
		}
	return r < 0 ? r : buf_put_u8(b, ']');
}

static int put_labels(struct buf *b, const struct identity *id)
{
	size_t start = buf_len(b);
	int r = json_put_key(b, "labels");

	r = r < 0 ? r : buf_put_u8(b, '{');
	for (size_t i = 0; r == 0 && i < id->n_labels && buf_len(b) - start < PART_MAX; i++) {
		if (i)
			r = buf_put_u8(b, ',');
		r = r < 0 ? r : json_put_text(b, slice_str(id->labels[i].key));
		r = r < 0 ? r : buf_put_u8(b, ':');
		r = r < 0 ? r : json_put_text(b, slice_str(id->labels[i].value));
	}
	return r < 0 ? r : buf_put_u8(b, '}');
}

/* The members that never change, but for the text: who asks what, and which rule wants it. */
static int put_head(struct buf *b, const struct approval *a, const struct approval_ask *ask)
{
	const struct store_session *s = ask->session;
	const struct identity *id = &s->identity;
	char session[ULID_TEXT_MAX], dst[ADDR_TEXT_MAX];
	int r = json_put_member(b, "id", slice_str(a->_id));

	r = r < 0 ? r : json_put_member(b, "session", slice_str(ulid_format(&s->id, session)));
	r = r < 0 ? r : json_put_number(b, "op", ask->op->id);
	r = r < 0 ? r : put_time(b, "asked", a->asked_ns);
	r = r < 0 ? r : put_time(b, "deadline", a->deadline_ns);
	r = r < 0 ? r : json_put_member(b, "cgroup", slice_str(id->cgroup_path));
	r = r < 0 ? r : json_put_number(b, "cgroup_id", id->cgroup_id);
	r = r < 0 ? r : json_put_member(b, "container", slice_str(id->container));
	r = r < 0 ? r : json_put_member(b, "pod", slice_str(id->pod));
	r = r < 0 ? r : put_labels(b, id);
	r = r < 0 ? r : json_put_number(b, "pid", id->pid);
	r = r < 0 ? r : json_put_number(b, "uid", id->uid);
	r = r < 0 ? r : json_put_member(b, "comm", slice_str(id->comm));
	r = r < 0 ? r : json_put_member(b, "destination", slice_str(addr_format(&s->dst, dst)));
	r = r < 0 ? r : json_put_member(b, "target", slice_str(ask->target));
	r = r < 0 ? r : json_put_member(b, "protocol", slice_str(ask->op->protocol));
	r = r < 0 ? r : json_put_member(b, "verb", slice_head(ask->op->verb, ELEMENT_MAX));
	r = r < 0 ? r : put_effects(b, "effects", ask->op->effects);
	r = r < 0 ? r : json_put_number(b, "risk", ask->verdict->risk);
	r = r < 0 ? r : json_put_member(b, "policy", slice_str(ask->policy));
	r = r < 0 ? r : json_put_member(b, "rule", slice_str(a->rule));
	r = r < 0 ? r : json_put_member(b, "message", slice_str(a->message));
	return r < 0 ? r : put_hex(b, "digest", a->digest);
}

struct list_out {
	struct buf *b;
	size_t start;
	bool cut; /* there was no room for all */
	int r;
};

static void list_begin(struct list_out *l, struct buf *b, const char *key)
{
	l->b = b;
	l->r = l->r < 0 ? l->r : json_put_key(b, key);
	l->r = l->r < 0 ? l->r : buf_put_u8(b, '[');
}

/* True: another element may be written. */
static bool list_next(struct list_out *l, size_t i)
{
	if (l->r < 0)
		return false;
	if (buf_len(l->b) > PART_MAX) {
		l->cut = true;
		return false;
	}
	if (i)
		l->r = buf_put_u8(l->b, ',');
	return l->r == 0;
}

static void list_text(struct list_out *l, struct slice s)
{
	l->cut |= s.len > ELEMENT_MAX;
	l->r = l->r < 0 ? l->r : json_put_text(l->b, slice_head(s, ELEMENT_MAX));
}

static void put_objects(struct list_out *l, struct buf *b, const struct op *op)
{
	list_begin(l, b, "objects");
	for (size_t i = 0; i < op->n_objects && list_next(l, i); i++) {
		l->r = buf_put_str(b, "{");
		l->r = l->r < 0 ? l->r : json_put_member(b, "kind", slice_str(op->objects[i].kind));
		l->r = l->r < 0 ? l->r : buf_put_str(b, ",\"name\":");
		list_text(l, op->objects[i].name);
		l->r = l->r < 0 ? l->r : put_effects(b, "access", op->objects[i].access);
		l->r = l->r < 0 ? l->r : buf_put_u8(b, '}');
	}
	l->r = l->r < 0 ? l->r : buf_put_u8(b, ']');
}

static void put_params(struct list_out *l, struct buf *b, const struct op *op)
{
	list_begin(l, b, "params");
	for (size_t i = 0; i < op->n_params && list_next(l, i); i++) {
		if (op->params[i].null)
			l->r = buf_put_str(b, "null");
		else
			list_text(l, op->params[i].text);
	}
	l->r = l->r < 0 ? l->r : buf_put_u8(b, ']');
}

static void put_attrs(struct list_out *l, struct buf *b, const struct op *op)
{
	l->r = l->r < 0 ? l->r : json_put_key(b, "attrs");
	l->r = l->r < 0 ? l->r : buf_put_u8(b, '{');
	for (size_t i = 0; i < op->n_attrs && list_next(l, i); i++) {
		const struct op_attr *at = &op->attrs[i];

		list_text(l, slice_str(at->key));
		l->r = l->r < 0 ? l->r : buf_put_u8(b, ':');
		if (at->type == OP_ATTR_TEXT)
			list_text(l, at->s);
		else if (l->r == 0 && at->type == OP_ATTR_BOOL)
			l->r = buf_put_str(b, at->b ? "true" : "false");
		else if (l->r == 0)
			l->r = buf_printf(b, "%lld", (long long)at->i);
	}
	l->r = l->r < 0 ? l->r : buf_put_u8(b, '}');
}

static int put_detail(struct buf *b, const struct op *op)
{
	struct list_out l = { .cut = op->body_cut };

	put_objects(&l, b, op);
	put_params(&l, b, op);
	put_attrs(&l, b, op);
	if (op->body.len && l.r == 0) {
		struct slice body = slice_head(op->body, PART_MAX / 4);

		l.cut |= body.len < op->body.len;
		l.r = json_put_member(b, "body", body);
	}
	return l.r < 0 ? l.r : put_bool(b, "cut", l.cut);
}

static int to_string(struct buf *b, int r, char **ret)
{
	if (r == 0)
		r = buf_put_u8(b, 0);
	if (r == 0) {
		*ret = malloc(buf_len(b));
		if (*ret)
			memcpy(*ret, buf_peek(b).ptr, buf_len(b));
		else
			r = -ENOMEM;
	}
	buf_done(b);
	return r;
}

int approval_render(struct approval *a, const struct approval_ask *ask)
{
	struct buf b;
	int r;

	buf_init(&b, PART_BUF_MAX);
	r = to_string(&b, put_head(&b, a, ask), &a->_head);
	if (r < 0)
		return r;
	buf_init(&b, PART_BUF_MAX);
	return to_string(&b, put_detail(&b, ask->op), &a->_detail);
}

static int put_answers(struct buf *b, const struct approval *a)
{
	int r = json_put_number(b, "needed", a->needed);

	r = r < 0 ? r : json_put_number(b, "approved", a->_n_allow);
	r = r < 0 ? r : json_put_key(b, "answers");
	r = r < 0 ? r : buf_put_u8(b, '[');
	for (unsigned i = 0; r == 0 && i < a->_n_answers; i++) {
		const struct approval_answer *an = &a->_answers[i];

		r = buf_put_str(b, i ? ",{" : "{");
		r = r < 0 ? r : put_bool(b, "allow", an->allow);
		r = r < 0 ? r
			  : json_put_member(b, "who", slice_str(an->who[0] ? an->who : an->key));
		r = r < 0 ? r : json_put_number(b, "uid", an->uid);
		r = r < 0 ? r : json_put_number(b, "pid", an->pid);
		r = r < 0 ? r : json_put_member(b, "reason", slice_str(an->reason));
		r = r < 0 ? r : put_time(b, "time", an->time_ns);
		r = r < 0 ? r : buf_put_u8(b, '}');
	}
	return r < 0 ? r : buf_put_u8(b, ']');
}

static int put_one(struct buf *b, const struct approval *a, size_t text_max, bool detail)
{
	struct slice text = slice_of(a->_text, a->_text_len);
	int r = buf_put_u8(b, '{');

	r = r < 0 ? r : buf_put_str(b, a->_head);
	r = r < 0 ? r : json_put_member(b, "text", slice_head(text, text_max));
	r = r < 0 ? r : put_bool(b, "text_cut", a->_cut || text.len > text_max);
	r = r < 0 ? r : put_answers(b, a);
	if (detail) {
		r = r < 0 ? r : buf_put_u8(b, ',');
		r = r < 0 ? r : buf_put_str(b, a->_detail);
	}
	return r < 0 ? r : buf_put_u8(b, '}');
}

int approval_put_json(struct buf *b, const struct approval *a, bool full)
{
	size_t start = buf_len(b);
	int r = put_one(b, a, full ? SIZE_MAX : TEXT_SHORT, full);

	if (r == 0 && buf_len(b) - start > APPROVAL_JSON_MAX)
		r = -EMSGSIZE;
	if (r == -EMSGSIZE && full) {
		/* Bytes that are mostly escapes: shown as far as they go. */
		buf_truncate(b, start);
		r = put_one(b, a, TEXT_SAFE, false);
	}
	if (r < 0)
		buf_truncate(b, start);
	return r;
}
