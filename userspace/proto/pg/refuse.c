// SPDX-License-Identifier: Apache-2.0
/*
 * Errors that clients understand. A denied message is not answered from here: a substitute that is
 * certain to fail takes its place on the way to the server, and the server's own ErrorResponse is
 * rewritten on the way back. So the transaction state, the skipping up to Sync and ReadyForQuery are
 * the server's own, and nothing has to be guessed.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_CUT = 1000 };

bool pg_client_at_boundary(const struct pg *p)
{
	return p->bleft == 0 && p->phase != PG_PHASE_RELAY && p->phase != PG_PHASE_DONE;
}

/* Text for the client in an encoding it may not share with us: others than ASCII only in UTF-8. */
static int put_field(const struct pg *p, struct buf *b, char code, const char *text)
{
	int r = buf_put_u8(b, (uint8_t)code);
	size_t len = strnlen(text, MESSAGE_CUT);

	if (text[len]) /* cut: not in the middle of a character */
		while (len && ((uint8_t)text[len] & 0xc0) == 0x80)
			len--;
	for (size_t i = 0; r == 0 && i < len; i++) {
		uint8_t c = (uint8_t)text[i];

		r = buf_put_u8(b, c >= 0x80 && !p->lexing.encoding_utf8 ? '?' : c);
	}
	return r < 0 ? r : buf_put_u8(b, 0);
}

/* ErrorResponse and NoticeResponse have the same form. */
static int response_put(const struct pg *p, struct buf *b, char type, const char *severity,
			const char *sqlstate, const char *message, const char *hint)
{
	size_t start = buf_len(b);
	uint8_t *patch;
	size_t len;
	int r = buf_put_u8(b, (uint8_t)type);

	r = r < 0 ? r : buf_put_be32(b, 0);
	r = r < 0 ? r : put_field(p, b, 'S', severity);
	r = r < 0 ? r : put_field(p, b, 'V', severity);
	r = r < 0 ? r : put_field(p, b, 'C', sqlstate);
	r = r < 0 ? r : put_field(p, b, 'M', message);
	if (hint)
		r = r < 0 ? r : put_field(p, b, 'H', hint);
	r = r < 0 ? r : buf_put_u8(b, 0);
	if (r < 0) {
		buf_truncate(b, start); /* all or nothing: half a message would garble the stream */
		return r;
	}
	patch = buf_peek_mut(b) + start + 1;
	len = buf_len(b) - start - 1;
	for (int i = 0; i < 4; i++)
		patch[i] = (uint8_t)(len >> (24 - 8 * i));
	return 0;
}

int pg_error_put(const struct pg *p, struct buf *b, const char *severity, const char *sqlstate,
		 const char *message, const char *hint)
{
	return response_put(p, b, 'E', severity, sqlstate, message, hint);
}

/*
 * "Frontends must be prepared to deal with NoticeResponse at any time" (PostgreSQL manual, Message
 * Flow, Asynchronous Operations); libpq is not before authentication, where an 'N' refuses
 * encryption.
 */
int pg_notice(struct proto *proto, const char *text)
{
	struct pg *p = pg_of(proto);
	int r;

	pg_events_recycle(p);
	if (p->error || p->phase != PG_PHASE_RUN || !p->authenticated || p->terminated ||
	    !pg_client_at_boundary(p))
		return 0;
	r = response_put(p, &p->out[DIR_TO_CLIENT], 'N', "NOTICE", "00000", text, NULL);
	return r == 0 ? 1 : r == -EMSGSIZE ? 0 : r;
}

int pg_refusal_new(const struct pg *p, const char *severity, const struct verdict *v, uint8_t **ret,
		   size_t *ret_len)
{
	char text[MESSAGE_CUT];
	const char *rule = v->rule ? v->rule : "default";
	struct buf b;
	int r;

	if (v->kind == VERDICT_HOLD)
		(void)snprintf(text, sizeof(text), "blocked by policy rule \"%.200s\": %.700s",
			       rule,
			       v->message ? v->message : "it needs an approval that was not given");
	else if (v->message && *v->message)
		(void)snprintf(text, sizeof(text), "blocked by policy rule \"%.200s\": %.700s",
			       rule, v->message);
	else
		(void)snprintf(text, sizeof(text), "blocked by policy rule \"%.200s\"", rule);
	buf_init(&b, 4 * MESSAGE_CUT);
	r = pg_error_put(p, &b, severity, "42501", text,
			 "The operation was refused before it reached the server.");
	if (r < 0) {
		buf_done(&b);
		return r;
	}
	*ret_len = buf_len(&b);
	*ret = malloc(*ret_len);
	if (*ret)
		memcpy(*ret, buf_peek(&b).ptr, *ret_len);
	buf_done(&b);
	return *ret ? 0 : -ENOMEM;
}

int pg_substitute_put(struct buf *out, bool extended)
{
	/* A syntax error is found before names, permissions or the transaction's state are looked
	 * at, so it cannot do anything else than fail. In the extended protocol any message that
	 * fails makes the server skip up to Sync, so a Parse can stand for a Bind as well. Its name
	 * is never the empty one: that would drop the client's unnamed statement. */
	static const uint8_t query[] = "Q\0\0\0\x11weir_refused";
	static const uint8_t parse[] = "P\0\0\0\x20weir_refused\0weir_refused\0\0";

	_Static_assert(sizeof(query) == 1 + 0x11, "length of the Query");
	_Static_assert(sizeof(parse) == 1 + 0x20, "length of the Parse");
	return extended ? buf_put(out, parse, sizeof(parse)) : buf_put(out, query, sizeof(query));
}

int pg_fail(struct pg *p, int error, enum dir d, uint64_t at, const char *rule, const char *spec,
	    const char *sqlstate)
{
	char text[200];

	if (p->error)
		return p->error;
	p->error = error;
	p->why = (struct parse_err){ .dir = d, .offset = at, .rule = rule, .spec = spec };
	if (!pg_client_at_boundary(p))
		return error;
	(void)snprintf(text, sizeof(text), "%s: %s",
		       d == DIR_TO_SERVER ? "connection refused by weir"
					  : "server broke the protocol",
		       rule);
	/* Without memory or room there are no last words; the session ends all the same. */
	(void)!pg_error_put(p, &p->out[DIR_TO_CLIENT], "FATAL", sqlstate, text, NULL);
	return error;
}

int pg_malformed(struct pg *p, enum dir d, uint64_t at, const char *rule, const char *spec)
{
	return pg_fail(p, -EBADMSG, d, at, rule, spec, "08P01");
}

int pg_oom(struct pg *p, enum dir d)
{
	if (!p->error) {
		p->error = -ENOMEM;
		p->why = (struct parse_err){
			.dir = d, .offset = p->offset[d], .rule = "out of memory", .spec = "limits"
		};
	}
	return p->error;
}

void pg_abort(struct proto *proto, unsigned status, const char *message)
{
	struct pg *p = pg_of(proto);
	const char *sqlstate = status == 403                    ? "42501"
			       : status == 503                  ? "58030"
			       : status == 502 || status == 504 ? "08006"
								: "57P01";

	pg_events_recycle(p);
	if (p->ended || p->error)
		return;
	pg_work_done(p);
	p->opaque_op = 0;
	buf_consume(&p->out[DIR_TO_SERVER], buf_len(&p->out[DIR_TO_SERVER]));
	if (pg_client_at_boundary(p) && p->phase != PG_PHASE_CANCEL && !p->terminated)
		(void)!pg_error_put(p, &p->out[DIR_TO_CLIENT], "FATAL", sqlstate,
				    message ? message : "connection ended by weir", NULL);
	/* END may fail for want of memory; DONE holds without it: nothing moves any more. */
	(void)!pg_event_end(p);
	p->phase = PG_PHASE_DONE;
}
