// SPDX-License-Identifier: Apache-2.0
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct addr addr_v4(uint32_t ip_be, uint16_t port_be)
{
	struct addr a = { .port_be = port_be };

	memcpy(a.ip, v4_prefix, sizeof(v4_prefix));
	memcpy(a.ip + 12, &ip_be, 4);
	return a;
}

struct addr addr_v6(const uint8_t ip[16], uint16_t port_be)
{
	struct addr a = { .port_be = port_be };

	memcpy(a.ip, ip, 16);
	return a;
}

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->ip, v4_prefix, sizeof(v4_prefix)) == 0;
}

char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN] = "";
	bool v4 = addr_is_v4(a);

	/* Both calls can only fail for a short buffer or an unknown family. */
	(void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->ip + 12 : a->ip, ip, sizeof(ip));
	if (!a->port_be)
		snprintf(out, ADDR_TEXT_MAX, "%s", ip); /* fits by its size */
	else
		snprintf(out, ADDR_TEXT_MAX, v4 ? "%s:%u" : "[%s]:%u", ip, ntohs(a->port_be));
	return out;
}

int addr_parse_ip(struct slice text, struct addr *ret)
{
	char s[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (text.len == 0 || text.len >= sizeof(s) || slice_chr(text, '\0') >= 0)
		return -EINVAL;
	memcpy(s, text.ptr, text.len);
	s[text.len] = '\0';
	if (inet_pton(AF_INET, s, &v4) == 1) {
		*ret = addr_v4(v4.s_addr, 0);
		return 0;
	}
	if (inet_pton(AF_INET6, s, &v6) == 1) {
		*ret = addr_v6(v6.s6_addr, 0);
		return 0;
	}
	return -EINVAL;
}

int addr_range_parse(struct slice text, struct addr_range *ret)
{
	ptrdiff_t slash = slice_chr(text, '/');
	struct slice ip = slash < 0 ? text : slice_head(text, (size_t)slash);
	struct addr_range range;
	struct addr a;
	uint64_t prefix = 128;
	int r;

	r = addr_parse_ip(ip, &a);
	if (r < 0)
		return r;
	if (slash >= 0) {
		bool v4 = slice_chr(ip, ':') < 0;

		if (slice_to_u64(slice_from(text, (size_t)slash + 1), &prefix) < 0 ||
		    prefix > (v4 ? 32 : 128))
			return -EINVAL;
		prefix += v4 ? 96 : 0;
	}
	range.prefix = (unsigned)prefix;
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = range.prefix > i * 8 ? MIN(range.prefix - i * 8, 8u) : 0;

		range.ip[i] = a.ip[i] & (uint8_t)(0xff00u >> bits);
	}
	*ret = range;
	return 0;
}

bool addr_range_has(const struct addr_range *r, const struct addr *a)
{
	unsigned whole = r->prefix / 8, rest = r->prefix % 8;

	if (memcmp(r->ip, a->ip, whole) != 0)
		return false;
	return !rest || !((r->ip[whole] ^ a->ip[whole]) & (uint8_t)(0xff00u >> rest));
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	if (addr_is_v4(a)) {
		struct sockaddr_in *sin = (struct sockaddr_in *)ret;

		sin->sin_family = AF_INET;
		sin->sin_port = a->port_be;
		memcpy(&sin->sin_addr, a->ip + 12, 4);
		return sizeof(*sin);
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ret;

	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = a->port_be;
	memcpy(&sin6->sin6_addr, a->ip, 16);
	return sizeof(*sin6);
}

int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

		*ret = addr_v4(sin->sin_addr.s_addr, sin->sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;

		*ret = addr_v6(sin6->sin6_addr.s6_addr, sin6->sin6_port);
		return 0;
	}
	return -EAFNOSUPPORT;
}
