// SPDX-License-Identifier: Apache-2.0
/*
 * The client's stream: cut into messages. Those that must be judged or read are gathered whole in
 * fmsg; CopyData and what belongs to authentication goes through in spans.
 */
#include "internal.h"

#include <errno.h>

static const char spec_format[] = "PostgreSQL manual, Message Formats";
static const char spec_startup[] = "PostgreSQL manual, Message Formats, StartupMessage";
static const char spec_ssl[] = "PostgreSQL manual, SSL Session Encryption";

enum { HEADER = 5 };

/* Whether the next message has to wait for answers: promise 5, pipelining without end. */
static bool queue_full(const struct pg *p, uint8_t type)
{
	/* Does the server still ignore everything? Only when that is known, it is known which answers
	 * belong to this message and from when on its SET counts. */
	if (p->skipping && p->maybe_sync)
		return !strchr("SHXdcfp", type);
	if (p->pend_count < p->lim.queue_max &&
	    (p->names.bytes <= 2 * p->lim.message_max || !p->pend_count))
		return false;
	switch (type) {
	case 'd':
	case 'p':
	case 'X':
	case 'H': return false; /* nothing is queued for these */
	case 'c':
	case 'f':
	case 'S': return !p->copy_in; /* the server waits for these to go on */
	default: return true;
	}
}

/* Gathers up to want bytes in fmsg. */
static int gather(struct pg *p, struct slice in, size_t *pos, size_t want)
{
	size_t have = buf_len(&p->fmsg), n;

	if (have >= want)
		return 0;
	n = MIN(want - have, in.len - *pos);
	if (buf_put(&p->fmsg, in.ptr + *pos, n) < 0)
		return pg_oom(p, DIR_TO_SERVER);
	*pos += n;
	return 0;
}

static int startup_gather(struct pg *p, struct slice in, size_t *pos)
{
	size_t max = MIN((size_t)PG_STARTUP_MAX, p->lim.head_max);
	uint32_t len;
	int r;

	r = gather(p, in, pos, 4);
	if (r < 0 || buf_len(&p->fmsg) < 4)
		return r;
	len = pg_be32(buf_peek(&p->fmsg).ptr);
	if (len < PG_STARTUP_MIN)
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at, "startup packet too short",
				    spec_startup);
	if (len > max)
		return pg_fail(p, -EMSGSIZE, DIR_TO_SERVER, p->fmsg_at, "startup packet too long",
			       spec_startup, "08P01");
	r = gather(p, in, pos, len);
	if (r < 0 || buf_len(&p->fmsg) < len)
		return r;
	return pg_startup_packet(p);
}

static int check_header(struct pg *p, uint8_t type, uint32_t len, bool *ret_streamed)
{
	bool small = false;

	*ret_streamed = false;
	if (len < 4)
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at, "message length below 4",
				    spec_format);
	switch (type) {
	case 'Q':
	case 'P':
	case 'B':
	case 'F': break;
	case 'D':
	case 'E':
	case 'C':
	case 'H':
	case 'S':
	case 'X':
	case 'c':
	case 'f': small = true; break;
	case 'd':
		*ret_streamed = true;
		return len > PG_MESSAGE_MAX ? pg_fail(p, -EMSGSIZE, DIR_TO_SERVER, p->fmsg_at,
						      "CopyData beyond 1 GiB", spec_format, "08P01")
					    : 0;
	case 'p':
		*ret_streamed = true;
		if (p->authenticated)
			return pg_fail(p, -EPROTO, DIR_TO_SERVER, p->fmsg_at,
				       "authentication message after authentication",
				       "PostgreSQL manual, Message Flow, Start-up", "08P01");
		return len > PG_AUTH_MAX
			       ? pg_fail(p, -EMSGSIZE, DIR_TO_SERVER, p->fmsg_at,
					 "authentication message too long", spec_format, "08P01")
			       : 0;
	default:
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at, "unknown message type",
				    spec_format);
	}
	if (small && len > PG_SMALL_MAX)
		return pg_malformed(p, DIR_TO_SERVER, p->fmsg_at,
				    "message longer than its type allows", spec_format);
	if (len > p->lim.message_max)
		return pg_fail(p, -EMSGSIZE, DIR_TO_SERVER, p->fmsg_at,
			       "message longer than weir examines", "limits, message_max", "54000");
	return 0;
}

static int stream(struct pg *p, struct slice in, size_t *pos)
{
	struct buf *out = &p->out[DIR_TO_SERVER];
	size_t room = buf_len(out) < p->lim.out_max ? p->lim.out_max - buf_len(out) : 0;
	struct slice span = slice_head(slice_from(in, *pos), p->fleft);
	uint64_t op = p->copy_in ? p->copy_op : p->data_op;
	int r = 0;

	if (!p->fdrop) {
		span = slice_head(span, room);
		if (p->ftype == 'd')
			r = pg_event_data(p, op, DIR_TO_SERVER, span, &p->copy_recorded);
		r = r < 0 ? r : buf_put_slice(out, span);
	}
	if (r < 0)
		return pg_oom(p, DIR_TO_SERVER);
	*pos += span.len;
	p->fleft -= span.len;
	return 0;
}

static int message(struct pg *p, struct slice in, size_t *pos)
{
	struct slice head;
	bool streamed;
	uint8_t type;
	uint32_t len;
	int r = gather(p, in, pos, HEADER);

	if (r < 0 || buf_len(&p->fmsg) < HEADER)
		return r;
	head = buf_peek(&p->fmsg);
	type = head.ptr[0];
	len = pg_be32(head.ptr + 1);
	r = check_header(p, type, len, &streamed);
	if (r < 0)
		return r;
	if (streamed) {
		p->ftype = type;
		p->fleft = len - 4;
		p->fdrop = p->doomed && p->ftype == 'd';
		if (!p->fdrop)
			r = buf_put_slice(&p->out[DIR_TO_SERVER], head);
		buf_consume(&p->fmsg, buf_len(&p->fmsg));
		return r < 0 ? pg_oom(p, DIR_TO_SERVER) : 0;
	}
	r = gather(p, in, pos, (size_t)len + 1);
	if (r < 0 || buf_len(&p->fmsg) < (size_t)len + 1)
		return r;
	r = pg_query_message(p, type, slice_from(buf_peek(&p->fmsg), HEADER));
	if (r == 0 && p->work.kind == PG_WORK_NONE)
		buf_consume(&p->fmsg, buf_len(&p->fmsg));
	return r;
}

int pg_frontend_feed(struct pg *p, struct slice in, size_t *ret_used)
{
	size_t pos = 0;
	int r = 0;

	while (r == 0 && pos < in.len && p->work.kind == PG_WORK_NONE && !p->opaque_op) {
		if (p->terminated || p->phase == PG_PHASE_DONE) {
			pos = in.len;
			break;
		}
		if (p->plain_answer && buf_len(&p->out[DIR_TO_CLIENT])) {
			/* Sent before our answer could be read: an attacker on the way may have put
			 * it there, before the encryption that was asked for. */
			r = pg_fail(p, -EPROTO, DIR_TO_SERVER, p->offset[DIR_TO_SERVER] + pos,
				    "data behind a request to encrypt", spec_ssl, "08P01");
			break;
		}
		p->plain_answer = false;
		if (p->phase == PG_PHASE_CANCEL) {
			r = pg_malformed(p, DIR_TO_SERVER, p->offset[DIR_TO_SERVER] + pos,
					 "data behind a cancel request",
					 "PostgreSQL manual, Canceling Requests in Progress");
			break;
		}
		if (p->fleft) {
			size_t before = pos;

			r = stream(p, in, &pos);
			if (pos == before)
				break;
			continue;
		}
		if (!buf_len(&p->fmsg)) {
			if (buf_len(&p->out[DIR_TO_SERVER]) >= p->lim.out_max ||
			    (p->phase == PG_PHASE_RUN && queue_full(p, in.ptr[pos])))
				break;
			p->fmsg_at = p->offset[DIR_TO_SERVER] + pos;
		}
		r = p->phase == PG_PHASE_START ? startup_gather(p, in, &pos) : message(p, in, &pos);
	}
	p->offset[DIR_TO_SERVER] += pos;
	*ret_used = pos;
	return r;
}
