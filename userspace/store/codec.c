/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as bytes: a version, a type or state, then fields of tag (1 byte), length (LEB128) and
 * content; numbers are little-endian without their leading zero bytes, so 0 is empty and a field
 * with the value 0 or "" is left out where nothing hangs on it. Unknown tags are skipped. A field
 * that begins an element of an array (OBJ_KIND, ATTR_KEY, LABEL_KEY) opens it, and those that
 * follow fill it.
 *
 * What is decoded may have been damaged: nothing in it is believed before it is checked.
 */
#include <assert.h>
#include <errno.h>
#include <zstd.h>

#include "store_int.h"

enum { REC_VERSION = 1, SESSION_FIXED = 16, EVENT_FIXED = 2, FIELD_MAX = 11 };

enum session_tag {
	S_START = 1,
	S_END,
	S_CGROUP_ID,
	S_CGROUP,
	S_BOOT,
	S_RUNTIME,
	S_CONTAINER,
	S_POD,
	S_LABEL_KEY,
	S_LABEL_VALUE,
	S_PID,
	S_UID,
	S_COMM,
	S_EXE,
	S_NETNS,
	S_CLIENT,
	S_DST,
	S_UPSTREAM,
	S_TARGET,
	S_PROTOCOL,
	S_POLICY,
	S_POLICY_HASH,
	S_OBSERVED,
	S_BYTES_TO_SERVER,
	S_BYTES_TO_CLIENT,
	S_OPS,
	S_ALLOWED,
	S_HELD,
	S_BLOCKED,
	S_ERRORS,
	S_EVENTS,
	S_REASON,
	S_IMAGE,
};

enum event_tag {
	E_TIME = 1,
	E_OP_ID,
	E_DIR,
	E_DATA,
	E_DATA_ZSTD,
	E_SKIPPED,
	E_ATTR_KEY,
	E_ATTR_BOOL,
	E_ATTR_INT,
	E_ATTR_TEXT,
	E_FAILED,
	E_TEXT,
	E_SPEC,
	E_OFFSET,
	E_PROTOCOL,
	E_VERB,
	E_EFFECTS,
	E_OBJ_KIND,
	E_OBJ_NAME,
	E_OBJ_ACCESS,
	E_PARAM,
	E_PARAM_NULL,
	E_OP_TEXT,
	E_NORM,
	E_FINGERPRINT,
	E_TEXT_CUT,
	E_VERDICT,
	E_RULE,
	E_MESSAGE,
	E_RISK,
};

/* ---- encoding ----------------------------------------------------------------------------- */

static uint8_t *put_len(uint8_t *p, size_t n)
{
	for (; n >= 0x80; n >>= 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

/* Also when empty. */
static uint8_t *put_field(uint8_t *p, unsigned tag, struct slice s)
{
	*p++ = (uint8_t)tag;
	p = put_len(p, s.len);
	if (s.len)
		memcpy(p, s.ptr, s.len);
	return p + s.len;
}

static uint8_t *put_slice(uint8_t *p, unsigned tag, struct slice s)
{
	return s.len ? put_field(p, tag, s) : p;
}

static uint8_t *put_str(uint8_t *p, unsigned tag, const char *s)
{
	return put_slice(p, tag, slice_str(s));
}

static uint8_t *put_num_always(uint8_t *p, unsigned tag, uint64_t v)
{
	uint8_t *len = p + 1;

	*p = (uint8_t)tag;
	p += 2;
	for (; v; v >>= 8)
		*p++ = (uint8_t)v;
	*len = (uint8_t)(p - len - 1);
	return p;
}

static uint8_t *put_num(uint8_t *p, unsigned tag, uint64_t v)
{
	return v ? put_num_always(p, tag, v) : p;
}

static uint8_t *put_addr(uint8_t *p, unsigned tag, const struct addr *a)
{
	static const struct addr none;
	uint8_t raw[18];

	if (addr_eq(a, &none))
		return p;
	memcpy(raw, a->ip, 16);
	memcpy(raw + 16, &a->port_be, 2);
	return put_field(p, tag, slice_of(raw, sizeof(raw)));
}

static size_t str_bound(const char *s)
{
	return FIELD_MAX + (s ? strlen(s) : 0);
}

size_t store_session_bound(const struct store_session *sess)
{
	const struct identity *id = &sess->identity;
	size_t n = SESSION_FIXED + 32 * FIELD_MAX + 3 * 18 + 32;

	n += str_bound(id->cgroup_path) + str_bound(id->boot_id) + str_bound(id->runtime) +
	     str_bound(id->container) + str_bound(id->pod) + str_bound(id->comm) +
	     str_bound(id->exe) + str_bound(id->image) + str_bound(sess->target) +
	     str_bound(sess->protocol) + str_bound(sess->policy) + str_bound(sess->reason);
	for (size_t i = 0; i < id->n_labels; i++)
		n += str_bound(id->labels[i].key) + str_bound(id->labels[i].value);
	return n;
}

uint64_t store_session_facts(const struct store_session *sess)
{
	const struct slice parts[] = {
		slice_of(&sess->identity.cgroup_id, sizeof(sess->identity.cgroup_id)),
		slice_str(sess->identity.cgroup_path), slice_str(sess->identity.container),
		slice_str(sess->target)
	};
	uint64_t h = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct hash_key key = HASH_KEY_FIXED;

		key.k0 ^= h; /* chained, so that ("a", "b") and ("ab", "") differ */
		key.k1 += i;
		h = hash_bytes(parts[i], key);
	}
	return h;
}

size_t store_session_encode(const struct store_session *sess, uint8_t *out)
{
	const struct identity *id = &sess->identity;
	uint64_t facts = store_session_facts(sess);
	uint8_t *p = out;

	memset(p, 0, SESSION_FIXED);
	p[0] = REC_VERSION;
	p[1] = (uint8_t)sess->state;
	memcpy(p + 8, &facts, 8); /* only ever compared with one made on the same machine */
	p += SESSION_FIXED;
	p = put_num(p, S_START, sess->start_ns);
	p = put_num(p, S_END, sess->end_ns);
	p = put_num(p, S_CGROUP_ID, id->cgroup_id);
	p = put_str(p, S_CGROUP, id->cgroup_path);
	p = put_str(p, S_BOOT, id->boot_id);
	p = put_str(p, S_RUNTIME, id->runtime);
	p = put_str(p, S_CONTAINER, id->container);
	p = put_str(p, S_POD, id->pod);
	for (size_t i = 0; i < id->n_labels; i++) {
		p = put_field(p, S_LABEL_KEY, slice_str(id->labels[i].key));
		p = put_str(p, S_LABEL_VALUE, id->labels[i].value);
	}
	p = put_num(p, S_PID, id->pid);
	p = put_num(p, S_UID, id->uid);
	p = put_str(p, S_COMM, id->comm);
	p = put_str(p, S_EXE, id->exe);
	p = put_str(p, S_IMAGE, id->image);
	p = put_num(p, S_NETNS, id->netns_cookie);
	p = put_addr(p, S_CLIENT, &sess->client);
	p = put_addr(p, S_DST, &sess->dst);
	p = put_addr(p, S_UPSTREAM, &sess->upstream);
	p = put_str(p, S_TARGET, sess->target);
	p = put_str(p, S_PROTOCOL, sess->protocol);
	p = put_str(p, S_POLICY, sess->policy);
	if (sess->policy_hash)
		p = put_field(p, S_POLICY_HASH, slice_of(sess->policy_hash, 32));
	p = put_num(p, S_OBSERVED, sess->observed);
	p = put_num(p, S_BYTES_TO_SERVER, sess->bytes_to_server);
	p = put_num(p, S_BYTES_TO_CLIENT, sess->bytes_to_client);
	p = put_num(p, S_OPS, sess->n_ops);
	p = put_num(p, S_ALLOWED, sess->n_allowed);
	p = put_num(p, S_HELD, sess->n_held);
	p = put_num(p, S_BLOCKED, sess->n_blocked);
	p = put_num(p, S_ERRORS, sess->n_errors);
	p = put_num(p, S_EVENTS, sess->n_events);
	p = put_str(p, S_REASON, sess->reason);
	return (size_t)(p - out);
}

static size_t attrs_bound(const struct op_attr *attrs, size_t n_attrs)
{
	size_t n = 0;

	for (size_t i = 0; i < n_attrs; i++)
		n += str_bound(attrs[i].key) + FIELD_MAX +
		     (attrs[i].type == OP_ATTR_TEXT ? attrs[i].s.len : 0);
	return n;
}

size_t store_event_bound(const struct store_event *ev)
{
	size_t n = EVENT_FIXED + 24 * FIELD_MAX + attrs_bound(ev->attrs, ev->n_attrs) +
		   str_bound(ev->text) + str_bound(ev->spec);
	const struct op *op = ev->op;

	if (ev->type == STORE_DATA)
		n += ZSTD_compressBound(ev->data.len);
	if (ev->type != STORE_OP)
		return n;
	n += attrs_bound(op->attrs, op->n_attrs) + str_bound(op->protocol) + op->verb.len +
	     op->text.len + op->norm.len + str_bound(ev->verdict.rule) +
	     str_bound(ev->verdict.message);
	for (size_t i = 0; i < op->n_objects; i++)
		n += str_bound(op->objects[i].kind) + 2 * FIELD_MAX + op->objects[i].name.len;
	for (size_t i = 0; i < op->n_params; i++)
		n += FIELD_MAX + op->params[i].text.len;
	return n;
}

static uint8_t *put_attrs(uint8_t *p, const struct op_attr *attrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct op_attr *a = &attrs[i];

		p = put_field(p, E_ATTR_KEY, slice_str(a->key));
		if (a->type == OP_ATTR_BOOL)
			p = put_num_always(p, E_ATTR_BOOL, a->b);
		else if (a->type == OP_ATTR_INT) /* zigzag: small negatives stay small */
			p = put_num_always(p, E_ATTR_INT,
					   ((uint64_t)a->i << 1) ^ (uint64_t)(a->i >> 63));
		else
			p = put_field(p, E_ATTR_TEXT, a->s);
	}
	return p;
}

static uint8_t *put_op(uint8_t *p, const struct op *op, const struct verdict *v)
{
	p = put_str(p, E_PROTOCOL, op->protocol);
	p = put_slice(p, E_VERB, op->verb);
	p = put_num(p, E_EFFECTS, op->effects);
	for (size_t i = 0; i < op->n_objects; i++) {
		p = put_field(p, E_OBJ_KIND, slice_str(op->objects[i].kind));
		p = put_slice(p, E_OBJ_NAME, op->objects[i].name);
		p = put_num(p, E_OBJ_ACCESS, op->objects[i].access);
	}
	p = put_attrs(p, op->attrs, op->n_attrs);
	for (size_t i = 0; i < op->n_params; i++)
		p = op->params[i].null ? put_num_always(p, E_PARAM_NULL, 0)
				       : put_field(p, E_PARAM, op->params[i].text);
	p = put_slice(p, E_OP_TEXT, op->text);
	p = put_slice(p, E_NORM, op->norm);
	p = put_num(p, E_FINGERPRINT, op->fingerprint);
	p = put_num(p, E_TEXT_CUT, op->text_cut);
	p = put_num(p, E_VERDICT, v->kind);
	p = put_str(p, E_RULE, v->rule);
	p = put_num(p, E_RISK, v->risk);
	return put_str(p, E_MESSAGE, v->message);
}

/*
 * zstd at level 1 takes about 4 us for 2 KiB of JSON and 60 us for the 64 KiB at which recording
 * stops, not more than writing the pages that it spares, so it is done at once. (The fast levels
 * below take 20 % less time for 60 % more bytes.)
 */
static uint8_t *put_data(uint8_t *p, struct slice data, ZSTD_CCtx *ctx)
{
	size_t bound = ZSTD_compressBound(data.len), n;

	if (data.len < STORE_COMPRESS_MIN)
		return put_slice(p, E_DATA, data);
	/* Straight behind where tag and length will stand; moved when the length turns out shorter. */
	n = ZSTD_compressCCtx(ctx, p + FIELD_MAX, bound, data.ptr, data.len, 1);
	if (ZSTD_isError(n) || n > data.len - data.len / 8)
		return put_slice(p, E_DATA, data);
	*p++ = E_DATA_ZSTD;
	{
		uint8_t *from = p - 1 + FIELD_MAX;

		p = put_len(p, n);
		memmove(p, from, n);
	}
	return p + n;
}

size_t store_event_encode(const struct store_event *ev, void *zstd, uint8_t *out)
{
	uint8_t *p = out;

	*p++ = REC_VERSION;
	*p++ = (uint8_t)ev->type;
	p = put_num(p, E_TIME, ev->time_ns);
	p = put_num(p, E_OP_ID, ev->type == STORE_OP ? ev->op->id : ev->op_id);
	switch (ev->type) {
	case STORE_OP: p = put_op(p, ev->op, &ev->verdict); break;
	case STORE_DATA:
		p = put_num(p, E_DIR, ev->dir);
		p = put_num(p, E_SKIPPED, ev->data_skipped);
		p = put_data(p, ev->data, zstd);
		break;
	case STORE_RESULT:
		p = put_num(p, E_FAILED, ev->failed);
		p = put_attrs(p, ev->attrs, ev->n_attrs);
		break;
	case STORE_ERROR:
		p = put_num(p, E_DIR, ev->dir);
		p = put_str(p, E_SPEC, ev->spec);
		p = put_num(p, E_OFFSET, ev->offset);
		__attribute__((fallthrough));
	case STORE_NOTE:
	case STORE_APPROVAL:
	case STORE_END:
		p = put_str(p, E_TEXT, ev->text);
		p = put_attrs(p, ev->attrs, ev->n_attrs);
		break;
	}
	return (size_t)(p - out);
}

/* ---- decoding ----------------------------------------------------------------------------- */

/* 1 with a field, 0 at the end, -EBADMSG. */
static int get_field(struct slice *in, unsigned *ret_tag, struct slice *ret)
{
	uint64_t len = 0;
	size_t i = 1;

	if (!in->len)
		return 0;
	for (unsigned shift = 0;; shift += 7) {
		if (i >= in->len || shift > 28)
			return -EBADMSG;
		len |= (uint64_t)(in->ptr[i] & 0x7f) << shift;
		if (!(in->ptr[i++] & 0x80))
			break;
	}
	if (len > in->len - i)
		return -EBADMSG;
	*ret_tag = in->ptr[0];
	*ret = slice_of(in->ptr + i, (size_t)len);
	*in = slice_from(*in, i + (size_t)len);
	return 1;
}

/* Longer than 8 bytes: all ones, which no check lets pass where the value matters. */
static uint64_t get_num(struct slice s)
{
	uint64_t v = 0;

	if (s.len > 8)
		return UINT64_MAX;
	for (size_t i = s.len; i > 0; i--)
		v = v << 8 | s.ptr[i - 1];
	return v;
}

static uint32_t get_u32(struct slice s)
{
	uint64_t v = get_num(s);

	return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static int get_str(struct slice s, struct arena *a, const char **ret)
{
	struct slice copy;

	if (arena_dup(a, s, &copy) < 0)
		return -ENOMEM;
	*ret = (const char *)copy.ptr;
	return 0;
}

static int get_addr(struct slice s, struct addr *ret)
{
	if (s.len != 18)
		return -EBADMSG;
	memcpy(ret->ip, s.ptr, 16);
	memcpy(&ret->port_be, s.ptr + 16, 2);
	return 0;
}

bool store_session_peek(struct slice rec, enum store_state *ret_state, uint64_t *ret_facts)
{
	if (rec.len < SESSION_FIXED || rec.ptr[0] != REC_VERSION ||
	    rec.ptr[1] > STORE_SESSION_INTERRUPTED)
		return false;
	*ret_state = rec.ptr[1];
	memcpy(ret_facts, rec.ptr + 8, 8);
	return true;
}

static int session_field(struct store_session *s, unsigned tag, struct slice v, struct arena *a,
			 struct identity_label *labels, size_t *n_labels)
{
	struct identity *id = &s->identity;

	switch (tag) {
	case S_START: s->start_ns = get_num(v); break;
	case S_END: s->end_ns = get_num(v); break;
	case S_CGROUP_ID: id->cgroup_id = get_num(v); break;
	case S_CGROUP: return get_str(v, a, &id->cgroup_path);
	case S_BOOT: return get_str(v, a, &id->boot_id);
	case S_RUNTIME: return get_str(v, a, &id->runtime);
	case S_CONTAINER: return get_str(v, a, &id->container);
	case S_POD: return get_str(v, a, &id->pod);
	case S_LABEL_KEY:
		labels[*n_labels].value = "";
		return get_str(v, a, &labels[(*n_labels)++].key);
	case S_LABEL_VALUE:
		return *n_labels ? get_str(v, a, &labels[*n_labels - 1].value) : -EBADMSG;
	case S_PID: id->pid = get_u32(v); break;
	case S_UID: id->uid = get_u32(v); break;
	case S_COMM: return get_str(v, a, &id->comm);
	case S_EXE: return get_str(v, a, &id->exe);
	case S_IMAGE: return get_str(v, a, &id->image);
	case S_NETNS: id->netns_cookie = get_num(v); break;
	case S_CLIENT: return get_addr(v, &s->client);
	case S_DST: return get_addr(v, &s->dst);
	case S_UPSTREAM: return get_addr(v, &s->upstream);
	case S_TARGET: return get_str(v, a, &s->target);
	case S_PROTOCOL: return get_str(v, a, &s->protocol);
	case S_POLICY: return get_str(v, a, &s->policy);
	case S_POLICY_HASH:
		if (v.len != 32)
			return -EBADMSG;
		s->policy_hash = v.ptr;
		break;
	case S_OBSERVED: s->observed = get_num(v) != 0; break;
	case S_BYTES_TO_SERVER: s->bytes_to_server = get_num(v); break;
	case S_BYTES_TO_CLIENT: s->bytes_to_client = get_num(v); break;
	case S_OPS: s->n_ops = get_u32(v); break;
	case S_ALLOWED: s->n_allowed = get_u32(v); break;
	case S_HELD: s->n_held = get_u32(v); break;
	case S_BLOCKED: s->n_blocked = get_u32(v); break;
	case S_ERRORS: s->n_errors = get_u32(v); break;
	case S_EVENTS: s->n_events = get_u32(v); break;
	case S_REASON: return get_str(v, a, &s->reason);
	}
	return 0;
}

int store_session_decode(struct slice rec, const struct ulid *id, struct arena *a,
			 struct store_session *ret)
{
	struct store_session s = {
		.id = *id, .target = "", .protocol = "", .policy = "", .reason = ""
	};
	struct identity_label *labels = NULL;
	size_t n_labels = 0, n = 0;
	enum store_state state;
	struct slice in, v;
	uint64_t facts;
	unsigned tag;
	int r;

	if (!store_session_peek(rec, &state, &facts))
		return -EBADMSG;
	s.state = state;
	s.identity = (struct identity){ .cgroup_path = "",
					.boot_id = "",
					.runtime = "",
					.container = "",
					.image = "",
					.pod = "",
					.comm = "",
					.exe = "" };
	in = slice_from(rec, SESSION_FIXED);
	while ((r = get_field(&in, &tag, &v)) > 0)
		n += tag == S_LABEL_KEY;
	if (r < 0)
		return r;
	if (n) {
		labels = arena_array(a, n, sizeof(*labels));
		if (!labels)
			return -ENOMEM;
	}
	in = slice_from(rec, SESSION_FIXED);
	while ((r = get_field(&in, &tag, &v)) > 0) {
		r = session_field(&s, tag, v, a, labels, &n_labels);
		if (r < 0)
			return r;
	}
	s.identity.labels = labels;
	s.identity.n_labels = n_labels;
	*ret = s;
	return 0;
}

int store_event_peek(struct slice rec)
{
	if (rec.len < EVENT_FIXED || rec.ptr[0] != REC_VERSION || rec.ptr[1] > STORE_APPROVAL)
		return -EBADMSG;
	return rec.ptr[1];
}

static int get_zstd(struct slice in, struct arena *a, struct slice *ret)
{
	unsigned long long size = ZSTD_getFrameContentSize(in.ptr, in.len);
	uint8_t *out;

	if (size > STORE_DATA_MAX || !size) /* also the two error values */
		return -EBADMSG;
	out = arena_alloc(a, (size_t)size);
	if (!out)
		return -ENOMEM;
	if (ZSTD_decompress(out, (size_t)size, in.ptr, in.len) != size)
		return -EBADMSG;
	*ret = slice_of(out, (size_t)size);
	return 0;
}

struct event_arrays {
	struct op_object *objects;
	struct op_attr *attrs;
	struct op_param *params;
	size_t n_objects, n_attrs, n_params;
};

static int event_arrays_alloc(struct slice in, struct arena *a, struct event_arrays *ret)
{
	size_t n_objects = 0, n_attrs = 0, n_params = 0;
	struct slice v;
	unsigned tag;
	int r;

	while ((r = get_field(&in, &tag, &v)) > 0) {
		n_objects += tag == E_OBJ_KIND;
		n_attrs += tag == E_ATTR_KEY;
		n_params += tag == E_PARAM || tag == E_PARAM_NULL;
	}
	if (r < 0)
		return r;
	*ret = (struct event_arrays){ 0 };
	if ((n_objects && !(ret->objects = arena_array(a, n_objects, sizeof(*ret->objects)))) ||
	    (n_attrs && !(ret->attrs = arena_array(a, n_attrs, sizeof(*ret->attrs)))) ||
	    (n_params && !(ret->params = arena_array(a, n_params, sizeof(*ret->params)))))
		return -ENOMEM;
	return 0;
}

static int event_attr(struct event_arrays *ar, unsigned tag, struct slice v)
{
	struct op_attr *at;
	uint64_t n = get_num(v);

	if (!ar->n_attrs)
		return -EBADMSG;
	at = &ar->attrs[ar->n_attrs - 1];
	if (tag == E_ATTR_BOOL) {
		at->type = OP_ATTR_BOOL;
		at->b = n != 0;
	} else if (tag == E_ATTR_INT) {
		at->type = OP_ATTR_INT;
		at->i = (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
	} else {
		at->type = OP_ATTR_TEXT;
		at->s = v;
	}
	return 0;
}

static int event_field(struct store_event *e, struct op *op, unsigned tag, struct slice v,
		       struct arena *a, struct event_arrays *ar)
{
	struct op_object *obj = ar->n_objects ? &ar->objects[ar->n_objects - 1] : NULL;
	uint64_t n;

	switch (tag) {
	case E_TIME: e->time_ns = get_num(v); break;
	case E_OP_ID: e->op_id = get_num(v); break;
	case E_DIR: e->dir = get_num(v) ? DIR_TO_CLIENT : DIR_TO_SERVER; break;
	case E_DATA: e->data = v; break;
	case E_DATA_ZSTD: return get_zstd(v, a, &e->data);
	case E_SKIPPED: e->data_skipped = get_num(v); break;
	case E_ATTR_KEY:
		ar->attrs[ar->n_attrs].type = OP_ATTR_BOOL;
		return get_str(v, a, &ar->attrs[ar->n_attrs++].key);
	case E_ATTR_BOOL:
	case E_ATTR_INT:
	case E_ATTR_TEXT: return event_attr(ar, tag, v);
	case E_FAILED: e->failed = get_num(v) != 0; break;
	case E_TEXT: return get_str(v, a, &e->text);
	case E_SPEC: return get_str(v, a, &e->spec);
	case E_OFFSET: e->offset = get_num(v); break;
	case E_PROTOCOL: return get_str(v, a, &op->protocol);
	case E_VERB: op->verb = v; break;
	case E_EFFECTS: op->effects = get_u32(v); break;
	case E_OBJ_KIND: return get_str(v, a, &ar->objects[ar->n_objects++].kind);
	case E_OBJ_NAME:
		if (!obj)
			return -EBADMSG;
		obj->name = v;
		break;
	case E_OBJ_ACCESS:
		if (!obj)
			return -EBADMSG;
		obj->access = get_u32(v);
		break;
	case E_PARAM: ar->params[ar->n_params++].text = v; break;
	case E_PARAM_NULL: ar->params[ar->n_params++].null = true; break;
	case E_OP_TEXT: op->text = v; break;
	case E_NORM: op->norm = v; break;
	case E_FINGERPRINT: op->fingerprint = get_num(v); break;
	case E_TEXT_CUT: op->text_cut = get_num(v) != 0; break;
	case E_VERDICT:
		n = get_num(v);
		if (n >= VERDICT_COUNT)
			return -EBADMSG;
		e->verdict.kind = (enum verdict_kind)n;
		break;
	case E_RULE: return get_str(v, a, &e->verdict.rule);
	case E_RISK: e->verdict.risk = get_u32(v); break;
	case E_MESSAGE: return get_str(v, a, &e->verdict.message);
	}
	return 0;
}

int store_event_decode(struct slice rec, uint32_t seq, struct arena *a, struct op *op,
		       struct store_event *ret)
{
	struct store_event e = { .seq = seq, .text = "", .spec = "" };
	struct op o = { .protocol = "" };
	struct event_arrays ar;
	struct slice in, v;
	unsigned tag;
	int r = store_event_peek(rec);

	if (r < 0)
		return r;
	e.type = (enum store_event_type)r;
	if (e.type == STORE_OP)
		e.verdict.rule = "";
	in = slice_from(rec, EVENT_FIXED);
	r = event_arrays_alloc(in, a, &ar);
	if (r < 0)
		return r;
	while ((r = get_field(&in, &tag, &v)) > 0) {
		r = event_field(&e, &o, tag, v, a, &ar);
		if (r < 0)
			return r;
	}
	if (e.type == STORE_OP) {
		o.id = e.op_id;
		o.objects = ar.objects;
		o.n_objects = ar.n_objects;
		o.attrs = ar.attrs;
		o.n_attrs = ar.n_attrs;
		o.params = ar.params;
		o.n_params = ar.n_params;
		*op = o;
		e.op = op;
	} else {
		e.attrs = ar.attrs;
		e.n_attrs = ar.n_attrs;
	}
	*ret = e;
	return 0;
}
