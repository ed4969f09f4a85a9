/* SPDX-License-Identifier: Apache-2.0 */
/* An IP address and port, whichever family, and ranges of addresses. */
#ifndef WEIR_ADDR_H
#define WEIR_ADDR_H

#include <sys/socket.h>

#include "slice.h"

/*
 * IPv4 lives in IPv6's mapped range (::ffff:a.b.c.d), so that one comparison serves both: an agent
 * cannot tell a policy apart by dialling ::ffff:10.0.0.1 in place of 10.0.0.1.
 */
struct addr {
	uint8_t ip[16];   /* network order */
	uint16_t port_be; /* 0 = none */
};

struct addr_range {
	uint8_t ip[16];  /* host bits are zero */
	unsigned prefix; /* 0 to 128, counted in the mapped form */
};

enum { ADDR_TEXT_MAX = sizeof("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") };

struct addr addr_v4(uint32_t ip_be, uint16_t port_be);
struct addr addr_v6(const uint8_t ip[16], uint16_t port_be);
bool addr_is_v4(const struct addr *a);
static inline bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port_be == b->port_be && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}
/* "10.0.0.1:5432", "[2001:db8::1]:80"; without the port when it is 0. Returns out. */
char *addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
/* An address literal without port or brackets. 0 or -EINVAL. */
int addr_parse_ip(struct slice text, struct addr *ret) __must_check;
/* "10.1.0.0/16", "::1", "*" is not a range. 0; -EINVAL for anything but a literal or a range. */
int addr_range_parse(struct slice text, struct addr_range *ret) __must_check;
bool addr_range_has(const struct addr_range *r, const struct addr *a);

/* To and from the kernel's form; mapped addresses become AF_INET. Returns the length. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret);
/* 0, or -EAFNOSUPPORT for anything but AF_INET and AF_INET6. */
int addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret) __must_check;

#endif
