// SPDX-License-Identifier: Apache-2.0
/* The first packets of a connection, which have no type byte (PostgreSQL manual, Message Flow,
 * Start-up; Message Formats, StartupMessage). */
#include "internal.h"

#include <errno.h>

static const char spec[] = "PostgreSQL manual, Message Formats, StartupMessage";

enum {
	CANCEL_LEN_MIN = 16,
	CANCEL_LEN_MAX = 12 + 256, /* keys of protocol 3.2 */
};

enum proto_sniff pg_sniff(struct slice head)
{
	uint32_t len, code;

	/* The first two bytes of the length are zero: nothing that begins with text is. */
	for (size_t i = 0; i < MIN(head.len, (size_t)2); i++)
		if (head.ptr[i] != 0)
			return SNIFF_NO;
	if (head.len < 8)
		return SNIFF_MORE;
	len = pg_be32(head.ptr);
	code = pg_be32(head.ptr + 4);
	if (len < PG_STARTUP_MIN || len > PG_STARTUP_MAX)
		return SNIFF_NO;
	if (code == PG_CODE_SSL || code == PG_CODE_GSSENC)
		return len == 8 ? SNIFF_YES : SNIFF_NO;
	if (code == PG_CODE_CANCEL)
		return len >= CANCEL_LEN_MIN && len <= CANCEL_LEN_MAX ? SNIFF_YES : SNIFF_NO;
	return code >> 16 == 3 ? SNIFF_YES : SNIFF_NO;
}

static int encryption_request(struct pg *p, bool *asked, struct slice packet)
{
	int r;

	if (packet.len != 8)
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at,
				    "encryption request of a wrong length", spec);
	if (*asked)
		return pg_fail(p, -EPROTO, DIR_TO_SERVER, p->fmsg_at, "encryption asked for twice",
			       spec, "08P01");
	*asked = true;
	p->plain_answer = true;
	buf_consume(&p->fmsg, buf_len(&p->fmsg));
	r = buf_put_u8(&p->out[DIR_TO_CLIENT], 'N');
	return r < 0 ? pg_oom(p, DIR_TO_SERVER) : 0;
}

static int cancel_request(struct pg *p, struct slice packet)
{
	struct pg_work *w = &p->work;

	if (packet.len < CANCEL_LEN_MIN || packet.len > CANCEL_LEN_MAX)
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at,
				    "cancel request of a wrong length",
				    "PostgreSQL manual, Message Formats, CancelRequest");
	*w = (struct pg_work){ .kind = PG_WORK_CANCEL,
			       .verb = "CANCEL",
			       .effects = OP_ADMIN | OP_SESSION,
			       .n_attrs = 1 };
	w->attrs[0] = pg_attr_int("pid", (int32_t)pg_be32(packet.ptr + 8));
	return pg_work_begin(p) < 0 ? pg_oom(p, DIR_TO_SERVER) : 0;
}

/* The server takes any unambiguous beginning of these words for false. */
static bool is_false(struct slice v)
{
	return slice_eq(v, SLICE("0")) || slice_ieq(v, SLICE("false")) ||
	       slice_ieq(v, SLICE("off")) || slice_ieq(v, SLICE("no"));
}

struct startup {
	struct slice user, database, application, options, replication;
};

static int read_parameters(struct pg *p, struct pg_reader *r, struct startup *s, struct buf *text)
{
	while (!r->bad) {
		struct slice key = pg_read_str(r), value;

		if (!key.len)
			break;
		value = pg_read_str(r);
		if (r->bad)
			break;
		if (slice_eq(key, SLICE("user")))
			s->user = value;
		else if (slice_eq(key, SLICE("database")))
			s->database = value;
		else if (slice_eq(key, SLICE("application_name")))
			s->application = value;
		else if (slice_eq(key, SLICE("options")))
			s->options = value;
		else if (slice_eq(key, SLICE("replication")))
			s->replication = value;
		if (buf_len(text) && buf_put_u8(text, ' ') < 0)
			return pg_oom(p, DIR_TO_SERVER);
		/* No such parameter exists, but a confused client's secret stays out of records. */
		if (slice_ieq(key, SLICE("password")))
			value = SLICE("…");
		if (buf_put_slice(text, key) < 0 || buf_put_u8(text, '=') < 0 ||
		    buf_put_slice(text, value) < 0)
			return pg_oom(p, DIR_TO_SERVER);
	}
	if (!pg_read_done(r))
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at,
				    "startup parameters do not end where the packet does", spec);
	if (!s->user.len)
		return pg_fail(p, -EBADMSG, DIR_TO_SERVER, p->fmsg_at,
			       "no user name in the startup packet", spec, "28000");
	return 0;
}

static int startup_message(struct pg *p, struct slice packet)
{
	struct pg_reader r = { .rest = slice_from(packet, 8) };
	uint32_t minor = pg_be32(packet.ptr + 4) & 0xffff;
	_cleanup_(buf_done) struct buf text;
	struct pg_work *w = &p->work;
	struct startup s = { 0 };
	struct slice own;
	int err;

	buf_init(&text, 4 * PG_STARTUP_MAX);
	err = read_parameters(p, &r, &s, &text);
	if (err < 0)
		return err;
	if (arena_dup(&p->work_arena, buf_peek(&text), &own) < 0)
		return pg_oom(p, DIR_TO_SERVER);
	if (!s.database.len)
		s.database = s.user;
	p->replication = s.replication.len && !is_false(s.replication);
	*w = (struct pg_work){ .kind = PG_WORK_STARTUP,
			       .verb = "CONNECT",
			       .effects = OP_SESSION | (p->replication ? OP_ADMIN | OP_UNKNOWN : 0),
			       .text = own };
	w->objects[w->n_objects++] =
		(struct op_object){ .kind = "database", .name = s.database, .access = OP_SESSION };
	w->objects[w->n_objects++] =
		(struct op_object){ .kind = "role", .name = s.user, .access = OP_SESSION };
	w->attrs[w->n_attrs++] = pg_attr_text("user", s.user);
	w->attrs[w->n_attrs++] = pg_attr_text("database", s.database);
	if (s.application.len)
		w->attrs[w->n_attrs++] = pg_attr_text("application_name", s.application);
	if (s.options.len)
		w->attrs[w->n_attrs++] = pg_attr_text("options", s.options);
	w->attrs[w->n_attrs++] = pg_attr_bool("replication", p->replication);
	w->attrs[w->n_attrs++] = pg_attr_int("minor", minor);
	return pg_work_begin(p) < 0 ? pg_oom(p, DIR_TO_SERVER) : 0;
}

int pg_startup_packet(struct pg *p)
{
	struct slice packet = buf_peek(&p->fmsg);
	uint32_t code = pg_be32(packet.ptr + 4);

	if (code == PG_CODE_SSL)
		return encryption_request(p, &p->ssl_asked, packet);
	if (code == PG_CODE_GSSENC)
		return encryption_request(p, &p->gss_asked, packet);
	if (code == PG_CODE_CANCEL)
		return cancel_request(p, packet);
	if (code >> 16 != 3)
		return pg_fail(p, -EOPNOTSUPP, DIR_TO_SERVER, p->fmsg_at,
			       "protocol version other than 3", spec, "0A000");
	return startup_message(p, packet);
}
