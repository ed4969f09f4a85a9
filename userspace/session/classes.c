// SPDX-License-Identifier: Apache-2.0
#include "classes.h"

#include <errno.h>

#include "proto/http/http.h"
#include "proto/pg/pg.h"
#include "proto/tcp/tcp.h"

const struct proto_class *const proto_classes[PROTO_CLASSES] = { &proto_pg, &proto_http,
								 &proto_tcp };

int proto_class_index(const char *name)
{
	for (int i = 0; i < PROTO_CLASSES; i++)
		if (strcmp(proto_classes[i]->name, name) == 0)
			return i;
	return -1;
}

int proto_class_sniff(struct slice head)
{
	bool more = false;

	for (int i = 0; i < PROTO_CLASSES; i++) {
		if (!proto_classes[i]->sniff)
			continue;
		switch (proto_classes[i]->sniff(head)) {
		case SNIFF_YES: return i;
		case SNIFF_MORE: more = true; break;
		case SNIFF_NO: break;
		}
	}
	return more && head.len < SNIFF_MAX ? -EAGAIN : -ENOENT;
}

bool proto_class_is_stream(const struct proto_class *c)
{
	return c == &proto_tcp;
}

bool proto_class_is_stateless(const struct proto_class *c)
{
	return c == &proto_http;
}
