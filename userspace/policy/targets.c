// SPDX-License-Identifier: Apache-2.0
/* Where agents may go. */
#include <arpa/inet.h>
#include <errno.h>

#include "compiled.h"

const char *const policy_protocol_names[PROTOCOL_COUNT] = { "postgres", "http", "tcp" };

static const struct load_key target_keys[] = {
	{ "name", false },     { "hosts", false },     { "ports", false },
	{ "protocol", false }, { "default", false },   { "opaque", false },
	{ "tls", true },       { "credential", true }, { "known_hosts", true },
};

/* Ranks leave room for prefix lengths and lengths of names below. */
enum {
	RANK_ANY = 1 << 16,
	RANK_RANGE = 2 << 16,
	RANK_WILD = 3 << 16,
	RANK_NAME = 4 << 16,
	RANK_LITERAL = 5 << 16
};

static int host_name_load(struct load *l, const struct place *at, struct slice s, struct host *ret)
{
	bool numeric = true;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool digit = c >= '0' && c <= '9';

		if (!digit && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '.' &&
		    c != '-' && c != '_' && c != '*' && c != '?')
			return load_fail(l, at,
					 "\"%s\" is no address, range or name of a host (ports "
					 "stand in \"ports\", IPv6 without brackets)",
					 load_quote(l, (const char *)s.ptr));
		numeric = numeric && (digit || c == '.' || c == '*' || c == '?');
	}
	if (numeric)
		return load_fail(l, at, "\"%s\" is no address: write ranges as 10.1.0.0/16",
				 load_quote(l, (const char *)s.ptr));
	if (s.ptr[s.len - 1] == '.')
		s.len--;
	if (s.len == 0 || s.ptr[0] == '.')
		return load_fail(l, at, "a host's name does not begin with a dot: write \"*%s\"",
				 load_quote(l, (const char *)s.ptr));
	ret->kind = HOST_NAME;
	ret->name = (struct pattern){ .text = s };
	ret->name.glob = slice_chr(s, '*') >= 0 || slice_chr(s, '?') >= 0;
	ret->rank = RANK_NAME;
	if (ret->name.glob) {
		ret->rank = RANK_WILD;
		for (size_t i = 0; i < s.len; i++)
			ret->rank += s.ptr[i] != '*' && s.ptr[i] != '?';
	}
	return 0;
}

static int host_load(struct load *l, const struct place *at, const json_t *v, struct host *ret)
{
	struct addr_range range;
	struct addr literal;
	struct slice s;
	int r;

	r = load_text(l, at, v, 253 + 1, &s);
	if (r < 0)
		return r;
	if (slice_eq(s, SLICE("*"))) {
		*ret = (struct host){ .kind = HOST_ANY, .rank = RANK_ANY };
		return 0;
	}
	if (addr_range_parse(s, &range) < 0)
		return host_name_load(l, at, s, ret);
	if (addr_parse_ip(slice_head(s, (size_t)(slice_chr(s, '/') < 0 ? (ptrdiff_t)s.len
								       : slice_chr(s, '/'))),
			  &literal) < 0 ||
	    memcmp(literal.ip, range.ip, sizeof(range.ip)) != 0) {
		char text[ADDR_TEXT_MAX];
		struct addr base = addr_v6(range.ip, 0);

		return load_fail(
			l, at, "\"%s\" has bits behind its prefix: did you mean \"%s/%u\"?",
			load_quote(l, (const char *)s.ptr), addr_format(&base, text),
			addr_is_v4(&base) && range.prefix >= 96 ? range.prefix - 96 : range.prefix);
	}
	*ret = (struct host){ .kind = HOST_RANGE, .range = range };
	ret->rank = range.prefix == 128 ? RANK_LITERAL : RANK_RANGE + range.prefix;
	return 0;
}

static int hosts_load(struct load *l, const struct place *at, const json_t *v, struct target *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "a host or a list of hosts", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->hosts), &ret->hosts);
	if (r < 0)
		return r;
	for (; ret->n_hosts < list.n; ret->n_hosts++) {
		struct place here;
		const json_t *item = load_list_get(&list, ret->n_hosts, &here);

		r = host_load(l, &here, item, &ret->hosts[ret->n_hosts]);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool port_ok(uint64_t n)
{
	return n >= 1 && n <= 65535;
}

static int port_load(struct load *l, const struct place *at, const json_t *v,
		     struct port_range *ret)
{
	struct slice s;
	uint64_t low, high;
	ptrdiff_t dash;

	if (json_is_integer(v)) {
		json_int_t n = json_integer_value(v);

		if (n < 1 || n > 65535)
			return load_fail(l, at, "a port is a number from 1 to 65535");
		*ret = (struct port_range){ (uint16_t)n, (uint16_t)n };
		return 0;
	}
	if (!json_is_string(v))
		return load_fail(l, at, "expected a port or a range like \"8000-8100\", not %s",
				 load_type(v));
	s = slice_of(json_string_value(v), json_string_length(v));
	dash = slice_chr(s, '-');
	if (dash < 0 || slice_to_u64(slice_head(s, (size_t)dash), &low) < 0 ||
	    slice_to_u64(slice_from(s, (size_t)dash + 1), &high) < 0 || !port_ok(low) ||
	    !port_ok(high))
		return load_fail(l, at,
				 "\"%s\" is no range of ports: expected \"LOW-HIGH\" within 1 to "
				 "65535, or a number without quotes",
				 load_quote(l, json_string_value(v)));
	if (low > high)
		return load_fail(l, at,
				 "the range \"%s\" is empty: its low end is above its high end",
				 load_quote(l, json_string_value(v)));
	*ret = (struct port_range){ (uint16_t)low, (uint16_t)high };
	return 0;
}

static int ports_load(struct load *l, const struct place *at, const json_t *v, struct target *ret)
{
	struct load_list list;
	int r;

	r = load_list_open(l, at, v, "a port or a list of ports and ranges", &list);
	if (r < 0)
		return r;
	r = load_alloc(l, list.n, sizeof(*ret->ports), &ret->ports);
	if (r < 0)
		return r;
	for (; ret->n_ports < list.n; ret->n_ports++) {
		struct place here;
		const json_t *item = load_list_get(&list, ret->n_ports, &here);

		r = port_load(l, &here, item, &ret->ports[ret->n_ports]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int target_texts(struct load *l, const struct policy *p, struct target *t)
{
	int r;

	if (t->fallback < 0) {
		t->rule = "default";
		t->message = p->fallback == VERDICT_BLOCK ? p->refused : NULL;
		return 0;
	}
	r = load_printf(l, &t->rule, "target:%s", t->public.name);
	if (r < 0 || t->fallback != VERDICT_BLOCK)
		return r;
	return load_printf(l, &t->message, "Nothing in policy %s allows this on target %s.",
			   p->name, t->public.name);
}

static int target_load(struct load *l, const struct place *at, const json_t *v, struct policy *p,
		       struct target *ret)
{
	static const char *const defaults[] = { "allow", "block" };
	static const char *const opaques[] = { "refuse", "relay" };
	struct place name = { at, "name", 0 }, hosts = { at, "hosts", 0 },
		     ports = { at, "ports", 0 };
	struct place protocol = { at, "protocol", 0 }, fallback = { at, "default", 0 };
	struct place opaque = { at, "opaque", 0 };
	const json_t *member;
	size_t word;
	int r;

	r = load_object(l, at, v, target_keys, ARRAY_SIZE(target_keys));
	if (r < 0)
		return r;
	member = json_object_get(v, "name");
	if (!member)
		return load_fail(l, at, "a target needs a \"name\"");
	r = load_name(l, &name, member, &ret->public.name);
	if (r < 0)
		return r;
	member = json_object_get(v, "hosts");
	if (!member)
		return load_fail(l, at, "a target needs \"hosts\" (\"*\" for every host)");
	r = hosts_load(l, &hosts, member, ret);
	if (r < 0)
		return r;
	member = json_object_get(v, "ports");
	if (member) {
		r = ports_load(l, &ports, member, ret);
		if (r < 0)
			return r;
	}
	member = json_object_get(v, "protocol");
	if (member) {
		r = load_word(l, &protocol, member, policy_protocol_names, PROTOCOL_COUNT, &word);
		if (r < 0)
			return r;
		ret->public.protocol = policy_protocol_names[word];
	}
	member = json_object_get(v, "opaque");
	if (member) {
		r = load_word(l, &opaque, member, opaques, ARRAY_SIZE(opaques), &word);
		if (r < 0)
			return r;
		ret->public.relay_opaque = word == 1;
	}
	ret->fallback = -1;
	member = json_object_get(v, "default");
	if (member) {
		r = load_word(l, &fallback, member, defaults, ARRAY_SIZE(defaults), &word);
		if (r < 0)
			return r;
		ret->fallback = word == 0 ? VERDICT_ALLOW : VERDICT_BLOCK;
	}
	return target_texts(l, p, ret);
}

int policy_targets_load(struct load *l, const struct place *at, const json_t *v, struct policy *p)
{
	size_t n = json_array_size(v);
	int r;

	if (!json_is_array(v))
		return load_fail(l, at, "expected a list of targets, not %s", load_type(v));
	if (n == 0)
		return load_fail(l, at,
				 "an empty list of targets: leave the key out to refuse every "
				 "connection");
	if (n > POLICY_TARGETS_MAX)
		return load_fail_limit(l, at, "%zu targets: a policy holds at most %d", n,
				       POLICY_TARGETS_MAX);
	r = load_alloc(l, n, sizeof(*p->targets), &p->targets);
	if (r < 0)
		return r;
	for (; p->n_targets < n; p->n_targets++) {
		struct place here = { at, NULL, p->n_targets };

		r = target_load(l, &here, json_array_get(v, p->n_targets), p,
				&p->targets[p->n_targets]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The rank of the most specific host that is this address; 0 = none. */
static uint32_t host_rank(const struct target *t, const struct addr *a, const struct slice *names,
			  size_t n_names)
{
	uint32_t best = 0;

	for (size_t i = 0; i < t->n_hosts; i++) {
		const struct host *h = &t->hosts[i];
		bool hit = h->kind == HOST_ANY;

		if (h->rank <= best)
			continue;
		if (h->kind == HOST_RANGE)
			hit = addr_range_has(&h->range, a);
		else if (h->kind == HOST_NAME)
			for (size_t j = 0; j < n_names && !hit; j++)
				hit = pattern_match(&h->name, names[j], '.', BROAD);
		if (hit)
			best = h->rank;
	}
	return best;
}

static bool has_port(const struct target *t, const struct addr *a)
{
	uint16_t port = ntohs(a->port_be);

	for (size_t i = 0; i < t->n_ports; i++)
		if (port >= t->ports[i].low && port <= t->ports[i].high)
			return true;
	return t->n_ports == 0;
}

const struct policy_target *policy_target_match(const struct policy *p, const struct addr *dst,
						const struct policy_names *names)
{
	enum {
		NAMES = 64
	}; /* an address has few; more would let a DNS answer slow every connect */
	static const uint8_t none[16], none_v4[16] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t loop[16] = { [15] = 1 };
	const struct target *best = NULL;
	uint64_t best_rank = 0;
	struct slice known[NAMES];
	struct addr a = *dst;
	size_t n_known = 0;

	/* The kernel takes the unspecified address for loopback; so must we, or dialling 0.0.0.0
	 * would reach what a rule on 127.0.0.1 guards. */
	if (memcmp(a.ip, none, 16) == 0)
		memcpy(a.ip, loop, 16);
	else if (memcmp(a.ip, none_v4, 16) == 0)
		a = addr_v4(htonl(INADDR_LOOPBACK), a.port_be);

	while (names && n_known < NAMES) {
		struct slice name = names->at(names->ctx, &a, n_known);

		if (name.len == 0)
			break;
		if (name.ptr[name.len - 1] == '.')
			name.len--;
		known[n_known++] = name;
	}
	for (size_t i = 0; i < p->n_targets; i++) {
		const struct target *t = &p->targets[i];
		uint64_t rank;

		if (!has_port(t, &a))
			continue;
		rank = host_rank(t, &a, known, n_known);
		if (rank == 0)
			continue;
		rank = rank << 1 | (t->n_ports > 0);
		if (rank > best_rank) {
			best_rank = rank;
			best = t;
		}
	}
	return best ? &best->public : NULL;
}
