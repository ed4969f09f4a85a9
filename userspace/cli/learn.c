// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "learn_int.h"

enum { PATTERN_BYTES_MAX = 1000 /* the language takes 1024 */, KEY_MAX = 4096 };

/* ---- sets of texts --------------------------------------------------------------------------- */

void text_set_done(struct text_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->at[i]);
	free(set->at);
	free(set->slots);
	*set = (struct text_set){ 0 };
}

static size_t slot_of(const struct text_set *set, const char *s)
{
	size_t i = hash_bytes(slice_str(s), HASH_KEY_FIXED) & (set->n_slots - 1);

	while (set->slots[i] && strcmp(set->at[set->slots[i] - 1], s) != 0)
		i = (i + 1) & (set->n_slots - 1);
	return i;
}

static int slots_grow(struct text_set *set)
{
	size_t n = set->n_slots ? set->n_slots * 2 : 16;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(set->slots);
	set->slots = slots;
	set->n_slots = n;
	for (size_t i = 0; i < set->n; i++)
		set->slots[slot_of(set, set->at[i])] = (uint32_t)i + 1;
	return 0;
}

int text_set_add(struct text_set *set, const char *s, size_t max, size_t *ret, bool *ret_new)
{
	size_t slot;

	if (set->n_slots < 2 * (set->n + 1) && slots_grow(set) < 0)
		return -ENOMEM;
	slot = slot_of(set, s);
	*ret_new = !set->slots[slot];
	if (*ret_new) {
		if (set->n >= max)
			return -ENOSPC;
		if (set->n == set->cap) {
			size_t cap = set->cap ? 2 * set->cap : 8;
			char **grown = reallocarray(set->at, cap, sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			set->at = grown;
			set->cap = cap;
		}
		set->at[set->n] = strdup(s);
		if (!set->at[set->n])
			return -ENOMEM;
		set->slots[slot] = (uint32_t)++set->n;
	}
	*ret = set->slots[slot] - 1;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void text_set_sort(struct text_set *set)
{
	if (set->n)
		qsort(set->at, set->n, sizeof(*set->at), by_text);
}

/* ---- life ------------------------------------------------------------------------------------ */

int learn_new(struct learn **ret)
{
	struct learn *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->targets = calloc(LEARN_TARGETS_MAX, sizeof(*l->targets));
	l->groups = calloc(LEARN_GROUPS_MAX, sizeof(*l->groups));
	if (!l->targets || !l->groups) {
		learn_free(l);
		return -ENOMEM;
	}
	*ret = l;
	return 0;
}

struct learn *learn_free(struct learn *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->target_keys.n; i++) {
		text_set_done(&l->targets[i].hosts);
		free(l->targets[i].confirmed);
		free(l->targets[i].protocol);
		free(l->targets[i].name);
	}
	for (size_t i = 0; i < l->group_keys.n; i++) {
		text_set_done(&l->groups[i].values);
		free(l->groups[i].verb);
		free(l->groups[i].host);
	}
	text_set_done(&l->target_keys);
	text_set_done(&l->group_keys);
	free(l->targets);
	free(l->groups);
	free(l->agents);
	free(l);
	return NULL;
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* Keeps the components that path has in common with those before. */
static int agents_narrow(struct learn *l, const char *path)
{
	size_t i = 0, end = 0;

	if (!l->agents) {
		l->agents = strdup(path);
		return l->agents ? 0 : -ENOMEM;
	}
	if (strcmp(l->agents, path) == 0)
		return 0;
	for (; l->agents[i] && l->agents[i] == path[i]; i++)
		if (l->agents[i] == '/')
			end = i;
	if ((!l->agents[i] || l->agents[i] == '/') && (!path[i] || path[i] == '/'))
		end = i;
	l->agents[end] = '\0';
	l->agents_below = true;
	return 0;
}

int learn_session(struct learn *l, const struct addr *dst, const char *protocol, const char *target,
		  const struct identity *who, size_t *ret_target)
{
	char key[ADDR_TEXT_MAX + 64], text[ADDR_TEXT_MAX];
	struct learn_target *t;
	size_t i;
	bool fresh;
	int r;

	if (!protocol[0] || strlen(protocol) >= 32)
		return -EINVAL;
	r = agents_narrow(l, who->cgroup_path);
	if (r < 0)
		return r;
	snprintf(key, sizeof(key), "%s %s", protocol, addr_format(dst, text));
	r = text_set_add(&l->target_keys, key, LEARN_TARGETS_MAX, &i, &fresh);
	if (r < 0)
		return r;
	t = &l->targets[i];
	if (fresh) {
		t->addr = *dst;
		t->protocol = strdup(protocol);
		t->name = strdup(target);
		if (!t->protocol || !t->name)
			return -ENOMEM;
	} else if (t->name && strcmp(t->name, target) != 0) {
		t->name[0] = '\0'; /* it had several names: none of them */
	}
	l->counts.sessions++;
	*ret_target = i;
	return 0;
}

void learn_skip(struct learn *l)
{
	l->counts.skipped++;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Printable, as one string of JSON and of the language. */
static bool is_plain(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool is_utf8(struct slice s)
{
	for (size_t i = 0; i < s.len;) {
		uint8_t c = s.ptr[i++];
		unsigned more = c < 0x80 ? 0 : c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 ? 2 : 1;

		if ((c >= 0x80 && c < 0xc2) || c >= 0xf5)
			return false;
		for (; more; more--)
			if (i >= s.len || (s.ptr[i++] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static bool has_glob(struct slice s)
{
	return slice_chr(s, '*') >= 0 || slice_chr(s, '?') >= 0 || slice_chr(s, '[') >= 0 ||
	       slice_chr(s, '\\') >= 0;
}

/* One byte that stands for itself in a regular expression. */
static int regex_put(struct buf *b, uint8_t c)
{
	bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '_' || c == ' ' || c == ',' || c == '=' || c == '"' || c == '\'' ||
		    c == ';' || c == ':' || c == '<' || c == '>' || c == '@' || c == '%' ||
		    c == '/' || c == '&' || c == '~' || c == '`' || c == '!';

	if (word)
		return buf_put_u8(b, c);
	if (c < 0x20 || c >= 0x7f)
		return buf_printf(b, "\\x%02x", c);
	return buf_printf(b, "\\%c", c);
}

static bool has(struct slice s, const char *what)
{
	return memmem(s.ptr, s.len, what, strlen(what)) != NULL;
}

static bool is_word_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
	       c == '$' || c >= 0x80;
}

/* Whether it is plain to see what a literal is: no comments, backslashes, dollar quotes, quoted names,
 * nor quotes with a letter before them (E'', U&''), and every quote is closed. */
static bool literals_plain(struct slice s)
{
	if (has(s, "--") || has(s, "/*") || has(s, "\\") || has(s, "$") || has(s, "\"") ||
	    has(s, "&"))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		ptrdiff_t end;

		if (s.ptr[i] != '\'')
			continue;
		end = slice_chr(slice_from(s, i + 1), '\'');
		if (end < 0 || (i > 0 && is_word_byte(s.ptr[i - 1])))
			return false;
		i += (size_t)end + 1;
	}
	return true;
}

/*
 * A regular expression for statements like this one: numbers and strings may differ. A string that
 * matches has no quote or backslash in it, so nothing outside of it can have changed.
 */
static int statement_regex(struct slice s, bool exact, struct buf *ret)
{
	int r = 0;

	exact = exact || !literals_plain(s);
	for (size_t i = 0; r == 0 && i < s.len;) {
		uint8_t c = s.ptr[i];
		bool starts = i == 0 || !is_word_byte(s.ptr[i - 1]);
		size_t end = i + 1;

		if (!exact && c == '\'') {
			while (s.ptr[end] != '\'') /* it is closed */
				end++;
			r = buf_put_str(ret, "'[^'\\\\]*'");
			i = end + 1;
		} else if (!exact && c >= '0' && c <= '9' && starts) {
			while (end < s.len && s.ptr[end] >= '0' && s.ptr[end] <= '9')
				end++;
			r = buf_put_str(ret, "[0-9]+");
			i = end;
		} else {
			r = regex_put(ret, c);
			i = end;
		}
	}
	return r;
}

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
	return s.len > 0;
}

/* A UUID, or hexadecimal of at least 16 digits with one that is a number. */
static bool is_identifier(struct slice s)
{
	bool uuid = s.len == 36, digit = false;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool dash = uuid && (i == 8 || i == 13 || i == 18 || i == 23);

		digit |= c >= '0' && c <= '9';
		if (dash ? c != '-'
			 : !((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')))
			return false;
	}
	return (uuid || s.len >= 16) && digit;
}

/* "/v1/users/4" → "/v1/users/?" with a star */
static int path_glob(struct slice path, struct buf *ret)
{
	int r = 0;

	while (r == 0 && path.len) {
		ptrdiff_t slash = slice_chr(path, '/');
		struct slice part = slash < 0 ? path : slice_head(path, (size_t)slash);

		r = is_number(part) || is_identifier(part) ? buf_put_u8(ret, '*')
							   : buf_put_slice(ret, part);
		if (r == 0 && slash >= 0)
			r = buf_put_u8(ret, '/');
		path = slice_from(path, part.len + (slash >= 0));
	}
	return r;
}

/* ---- operations ------------------------------------------------------------------------------ */

static int value_add(struct learn_group *g, const struct buf *b)
{
	_cleanup_(free_p) char *text = slice_dup(buf_peek(b));
	size_t i;
	bool fresh;

	if (!text)
		return -ENOMEM;
	return text_set_add(&g->values, text, LEARN_VALUES_MAX, &i, &fresh);
}

static int group_find(struct learn *l, const struct learn_group *like, struct learn_group **ret)
{
	struct learn_group *g;
	char key[KEY_MAX];
	size_t i;
	bool fresh;
	int r;

	r = snprintf(key, sizeof(key), "%zu %d %s %s %x %x %d", like->target, (int)like->form,
		     like->verb, like->host, like->effects, like->access, like->where);
	if (r >= (int)sizeof(key))
		return -EMSGSIZE;
	r = text_set_add(&l->group_keys, key, LEARN_GROUPS_MAX, &i, &fresh);
	if (r < 0)
		return r;
	g = &l->groups[i];
	if (fresh) {
		*g = *like;
		g->verb = strdup(like->verb);
		g->host = strdup(like->host);
		if (!g->verb || !g->host)
			return -ENOMEM;
	}
	*ret = g;
	return 0;
}

static int objects_add(struct learn_group *g, const struct op *op)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < op->n_objects; i++) {
		const struct op_object *o = &op->objects[i];
		struct buf b;

		buf_init(&b, PATTERN_BYTES_MAX);
		r = buf_printf(&b, "%s:%.*s", o->kind, SLICE_FMT(o->name));
		if (r == 0)
			r = value_add(g, &b);
		buf_done(&b);
	}
	return r;
}

/* Whether each object can be named by a pattern that means just it. */
static bool objects_sayable(const struct op *op)
{
	for (size_t i = 0; i < op->n_objects; i++) {
		struct slice name = op->objects[i].name;

		if (!name.len || has_glob(name) || !is_plain(name) || !is_utf8(name))
			return false;
	}
	return op->n_objects > 0;
}

/* Verbs that can touch nothing but the session's transactions, portals and statements. */
static bool is_session_verb(const char *verb)
{
	static const char *const verbs[] = { "BEGIN", "START",     "COMMIT",  "END",
					     "ABORT", "ROLLBACK",  "RELEASE", "SAVEPOINT",
					     "CLOSE", "DEALLOCATE" };

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verb, verbs[i]) == 0)
			return true;
	return false;
}

static int statement_add(struct learn *l, struct learn_group *like, const struct op *op)
{
	const struct op_attr *where = op_attr_find(op, "where");
	/* Nothing but functions that are named makes it unknown: naming them is enough. */
	bool unseen = op->effects & OP_UNKNOWN && !op_attr_find(op, "unknown_by");
	struct learn_group *g;
	struct buf b;
	int r;

	if (!unseen && objects_sayable(op)) {
		like->form = LEARN_OBJECTS;
		for (size_t i = 0; i < op->n_objects; i++)
			like->access |= op->objects[i].access;
		like->where = where && where->type == OP_ATTR_BOOL && where->b;
		r = group_find(l, like, &g);
		if (r == 0)
			r = objects_add(g, op);
		if (r == 0)
			g->count++;
		return r;
	}
	if (op->n_objects == 0 &&
	    ((op->effects == OP_SESSION && is_session_verb(like->verb)) || op->text.len == 0)) {
		/* Without a text it is a message of the protocol: its verb says all. */
		like->form = op->text.len ? LEARN_SESSION : LEARN_ANY;
		r = group_find(l, like, &g);
		if (r == 0)
			g->count++;
		return r;
	}
	if (op->text_cut)
		return -EINVAL;
	like->form = LEARN_TEXT;
	buf_init(&b, PATTERN_BYTES_MAX);
	r = statement_regex(op->text, unseen || op->n_objects, &b);
	if (r == 0)
		r = group_find(l, like, &g);
	if (r == 0)
		r = value_add(g, &b);
	if (r == 0)
		g->count++;
	buf_done(&b);
	return r;
}

static bool is_ip(const char *host)
{
	struct addr a;

	return addr_parse_ip(slice_str(host), &a) == 0;
}

static int host_add(struct learn_target *t, const char *host)
{
	bool fresh, *grown;
	size_t i;
	int r;

	if (!host[0] || is_ip(host))
		return 0;
	r = text_set_add(&t->hosts, host, LEARN_TARGETS_MAX, &i, &fresh);
	if (r < 0 || !fresh)
		return r == -ENOSPC ? 0 : r;
	grown = reallocarray(t->confirmed, t->hosts.n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	t->confirmed = grown;
	t->confirmed[i] = false;
	return 0;
}

/* The request's host alone, lower case; "" when it names none. False: no permission can say it. */
static bool host_of(const struct op *op, char *out, size_t size)
{
	const struct op_attr *a = op_attr_find(op, "host");
	struct slice s = a && a->type == OP_ATTR_TEXT ? a->s : SLICE_NONE;
	size_t n = 0;

	if (s.len > 2 && s.ptr[0] == '[' && s.ptr[s.len - 1] == ']')
		s = slice_head(slice_from(s, 1), s.len - 2);
	if (s.len && s.ptr[s.len - 1] == '.')
		s.len--;
	if (s.len >= size || has_glob(s))
		return false;
	for (; n < s.len; n++) {
		uint8_t c = s.ptr[n];

		if (c <= ' ' || c >= 0x7f || c == '/')
			return false;
		out[n] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	out[n] = '\0';
	return true;
}

static bool is_false(const struct op *op, const char *key)
{
	const struct op_attr *a = op_attr_find(op, key);

	return a && a->type == OP_ATTR_BOOL && !a->b;
}

static int request_add(struct learn *l, struct learn_group *like, const struct op *op)
{
	const struct op_attr *path = op_attr_find(op, "path"),
			     *ambiguous = op_attr_find(op, "path_ambiguous");
	char host[256];
	struct learn_group *g;
	struct buf b;
	int r;

	if (ambiguous && ambiguous->type == OP_ATTR_BOOL && ambiguous->b)
		return -EINVAL; /* never permitted by its path, and not without */
	if (!host_of(op, host, sizeof(host)))
		return -EINVAL;
	if (path && path->type == OP_ATTR_TEXT &&
	    (has_glob(path->s) || !is_plain(path->s) || !is_utf8(path->s)))
		return -EINVAL;
	r = host_add(&l->targets[like->target], host);
	/* One that nobody could check is never permitted by its name: the address must do. */
	if (is_false(op, "host_checked"))
		host[0] = '\0';
	like->form = LEARN_PATHS;
	like->host = host;
	if (r == 0)
		r = group_find(l, like, &g);
	buf_init(&b, PATTERN_BYTES_MAX);
	if (r == 0 && path && path->type == OP_ATTR_TEXT) {
		r = path_glob(path->s, &b);
		if (r == 0)
			r = value_add(g, &b);
	}
	buf_done(&b);
	like->host = NULL; /* it ends with this call */
	if (r == 0)
		g->count++;
	return r;
}

/* As the language has verbs: letters, '_' and '-'. */
static bool verb_sayable(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!((s.ptr[i] | 0x20) >= 'a' && (s.ptr[i] | 0x20) <= 'z') && s.ptr[i] != '_' &&
		    s.ptr[i] != '-')
			return false;
	return s.len > 0;
}

int learn_op(struct learn *l, size_t target, const struct op *op)
{
	char verb[65], no_host[1] = "";
	struct learn_group like = { .target = target, .host = no_host, .effects = op->effects }, *g;
	int r;

	if (!verb_sayable(op->verb) || op->verb.len >= sizeof(verb)) {
		r = -EINVAL;
	} else {
		memcpy(verb, op->verb.ptr, op->verb.len);
		verb[op->verb.len] = '\0';
		like.verb = verb;
		if (strcmp(op->protocol, "postgres") == 0) {
			r = statement_add(l, &like, op);
		} else if (strcmp(op->protocol, "http") == 0) {
			r = request_add(l, &like, op);
		} else {
			like.form = LEARN_ANY;
			r = group_find(l, &like, &g);
			if (r == 0)
				g->count++;
		}
	}
	if (r == -ENOMEM)
		return r;
	l->counts.ops++;
	l->counts.unsayable += r < 0;
	return r == 0;
}

/* ---- names of hosts -------------------------------------------------------------------------- */

static bool host_find(const struct learn *l, size_t i, struct learn_target **ret, size_t *ret_host)
{
	for (size_t t = 0; t < l->target_keys.n; t++) {
		if (i < l->targets[t].hosts.n) {
			*ret = &l->targets[t];
			*ret_host = i;
			return true;
		}
		i -= l->targets[t].hosts.n;
	}
	return false;
}

bool learn_host_at(const struct learn *l, size_t i, const char **ret_name, struct addr *ret_addr)
{
	struct learn_target *t;
	size_t host;

	if (!host_find(l, i, &t, &host))
		return false;
	*ret_name = t->hosts.at[host];
	*ret_addr = t->addr;
	return true;
}

void learn_host_confirm(struct learn *l, size_t i)
{
	struct learn_target *t;
	size_t host;

	if (host_find(l, i, &t, &host))
		t->confirmed[host] = true;
}
