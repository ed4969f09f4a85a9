// SPDX-License-Identifier: Apache-2.0
#include "answer.h"

#include <errno.h>
#include <stdlib.h>

/* What an ErrorResponse or NoticeResponse says. */
struct fields {
	struct slice severity, sqlstate, message;
};

bool pg_answer_type_known(uint8_t type)
{
	return type && strchr("RKSNAZEC1234TDdcGHWVIsntv", type) && type != '4';
}

uint64_t pg_answer_op(const struct pg_pend *e)
{
	return e->n_ops ? e->op + MIN(e->done, e->n_ops - 1) : e->op;
}

size_t *pg_answer_recorded(struct pg_pend *e)
{
	return e->portal ? &e->portal->recorded : &e->recorded;
}

static int read_fields(struct slice body, struct fields *ret)
{
	struct pg_reader r = { .rest = body };
	struct fields f = { 0 };
	uint8_t code;

	while ((code = pg_read_u8(&r)) != 0) {
		struct slice value = pg_read_str(&r);

		/* 'V' is 'S' without translation and comes behind it. */
		if (code == 'V' || (code == 'S' && !f.severity.len))
			f.severity = value;
		else if (code == 'C')
			f.sqlstate = value;
		else if (code == 'M')
			f.message = value;
	}
	if (!pg_read_done(&r))
		return -EBADMSG;
	*ret = f;
	return 0;
}

static bool runs_sql(const struct pg_pend *e)
{
	return e && (e->kind == PG_PEND_QUERY || e->kind == PG_PEND_EXECUTE);
}

/* A refused message has a substitute at the server, and that can only fail. */
static bool answers(const struct pg_pend *e, enum pg_pend_kind kind)
{
	return e && e->kind == kind && !e->refusal && !e->failed;
}

int pg_answer_streamed(struct pg *p, uint8_t type, size_t body_len)
{
	struct pg_pend *e = pg_pend_head(p);

	if (type == 'V') {
		if (!answers(e, PG_PEND_CALL) || e->answered)
			return -EPROTO;
		e->answered = true;
		e->bytes = body_len;
		return pg_event_attrs(p, PROTO_RESULT, e->op, NULL, false,
				      &(struct op_attr){ .key = "bytes",
							 .type = OP_ATTR_INT,
							 .i = (int64_t)body_len },
				      1);
	}
	if (!runs_sql(e) || e->refusal || e->failed || (type == 'd' && !p->copy_out))
		return -EPROTO;
	if (type == 'D') {
		if (e->kind == PG_PEND_EXECUTE && e->rows == 0) {
			const struct pg_portal *o = e->portal;
			size_t n = o ? o->n_formats : 0;

			if (n > p->cap_formats) {
				uint8_t *bigger = realloc(p->formats, n);

				if (!bigger)
					return -ENOMEM;
				p->formats = bigger;
				p->cap_formats = n;
			}
			if (n)
				memcpy(p->formats, o->formats, n);
			p->n_formats = n;
		}
		e->rows++;
	}
	e->bytes += body_len;
	return 0;
}

static int result_complete(struct pg *p, struct pg_pend *e, struct slice tag)
{
	struct op_attr attrs[3] = { pg_attr_text("tag", tag) };
	struct slice last = tag;
	uint64_t rows = e->rows;
	ptrdiff_t at;

	/* "INSERT 0 5", "SELECT 5", "COPY 5" */
	while ((at = slice_chr(last, ' ')) >= 0)
		last = slice_from(last, (size_t)at + 1);
	if (slice_to_u64(last, &rows) < 0)
		rows = e->rows;
	attrs[1] = pg_attr_int("rows", (int64_t)rows);
	attrs[2] = pg_attr_int("bytes", (int64_t)e->bytes);
	if (e->portal)
		e->portal->answered = true;
	return pg_event_attrs(p, PROTO_RESULT, pg_answer_op(e), NULL, false, attrs, 3);
}

/* More results than statements: some texts cannot be counted, but no server may go on for ever. */
static bool result_wanted(struct pg *p, const struct pg_pend *e, size_t len)
{
	return e->kind != PG_PEND_QUERY || e->done < e->n_ops || pg_event_afford(p, len);
}

static int command_complete(struct pg *p, struct pg_pend *e, struct slice tag)
{
	int r = 0;

	if (!runs_sql(e) || e->refusal || e->failed)
		return -EPROTO;
	if (e->copy_in && p->copy_op == pg_answer_op(e))
		p->maybe_sync = 0; /* all went well up to CopyDone: they were ignored */
	p->copy_in = p->copy_out = false;
	if (result_wanted(p, e, tag.len))
		r = result_complete(p, e, tag);
	if (r < 0)
		return r;
	if (slice_eq(tag, SLICE("DISCARD ALL")) || slice_eq(tag, SLICE("DEALLOCATE ALL")))
		pg_names_forget_confirmed(p, e->seq);
	if (e->kind == PG_PEND_EXECUTE) {
		pg_pend_pop(p);
		return 0;
	}
	e->answered = true;
	if (++e->done < e->n_ops)
		e->recorded = 0;
	e->rows = e->bytes = 0;
	p->n_formats = 0;
	return 0;
}

static int error_attrs(struct pg *p, uint64_t op, const struct fields *f, bool refused)
{
	struct op_attr attrs[3] = { pg_attr_text("severity", f->severity),
				    pg_attr_text("sqlstate", f->sqlstate),
				    pg_attr_text("message", f->message) };

	if (refused) {
		attrs[0] = pg_attr_text("sqlstate", SLICE("42501"));
		attrs[1] = pg_attr_bool("refused", true);
	}
	return pg_event_attrs(p, PROTO_RESULT, op, NULL, true, attrs, refused ? 2 : 3);
}

/* The results of an entry that failed with f. */
static int result_failed(struct pg *p, struct pg_pend *e, const struct fields *f, bool refused)
{
	uint64_t op = pg_answer_op(e), behind = e->op + e->n_ops;
	int r;

	if (e->kind == PG_PEND_SYNC || e->kind == PG_PEND_CLOSE || !e->op)
		return 0;
	if (refused) /* all of the message's operations were refused together */
		op = e->op;
	r = error_attrs(p, op, f, refused);
	for (op++; r == 0 && op < behind; op++)
		r = refused ? error_attrs(p, op, f, true) : pg_result_skipped(p, op, 1);
	if (e->bound)
		e->bound->answered = true;
	if (e->portal)
		e->portal->answered = true;
	return r;
}

static int error_response(struct pg *p, struct slice whole, bool *ret_replaced)
{
	struct pg_pend *e = pg_pend_head(p);
	bool fatal, refused;
	struct fields f;
	int r = read_fields(slice_from(whole, 5), &f);

	if (r < 0)
		return r;
	fatal = !slice_eq(f.severity, SLICE("ERROR")) || (e && e->kind == PG_PEND_STARTUP);
	if (fatal) {
		p->fatal = true;
		if (!e || e->failed)
			return 0;
		e->failed = true;
		return result_failed(p, e, &f, false);
	}
	if (!e || e->failed)
		return -EPROTO;
	refused = e->refusal != NULL;
	if (refused) {
		r = buf_put(&p->out[DIR_TO_CLIENT], e->refusal, e->refusal_len);
		if (r < 0)
			return r;
		*ret_replaced = true;
	}
	r = result_failed(p, e, &f, refused);
	if (r < 0)
		return r;
	p->copy_in = p->copy_out = false;
	e->answered = e->failed = true;
	if (e->kind == PG_PEND_QUERY || e->kind == PG_PEND_CALL || e->kind == PG_PEND_SYNC)
		return 0; /* ReadyForQuery comes next */
	if (e->kind == PG_PEND_PARSE && e->prep)
		pg_prep_drop(p, e->prep);
	pg_pend_pop(p);
	return pg_pend_skip_to_sync(p);
}

static int startup_ready(struct pg *p, struct pg_pend *e)
{
	struct op_attr attr = pg_attr_text("auth", slice_str(p->auth ? p->auth : "none"));

	return pg_event_attrs(p, PROTO_RESULT, e->op, NULL, false, &attr, 1);
}

static int ready_for_query(struct pg *p, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	uint64_t seq;
	int r = 0;

	if (body.len != 1 || !body.ptr[0] || !strchr("ITE", body.ptr[0]))
		return -EBADMSG;
	if (e && e->kind == PG_PEND_STARTUP && p->authenticated && !e->failed)
		r = startup_ready(p, e);
	else if (e && (e->kind == PG_PEND_QUERY || e->kind == PG_PEND_CALL) && e->answered)
		; /* its results were given */
	else if (e && e->kind == PG_PEND_SYNC)
		; /* nobody's result */
	else if (p->maybe_sync) {
		p->maybe_sync--;
		p->skipping = false;
		return 0;
	} else
		return -EPROTO;
	if (r < 0)
		return r;
	seq = e->seq;
	p->copy_in = p->copy_out = false;
	if (seq >= p->lexing.risk_seq)
		p->lexing.risk_seq = 0;
	if (e->kind == PG_PEND_QUERY && !e->failed && e->done < e->n_ops)
		r = pg_result_skipped(p, e->op + e->done, e->n_ops - e->done);
	pg_pend_pop(p);
	if (body.ptr[0] == 'I')
		pg_portals_end(p, seq);
	return r;
}

/* Encodings in which no byte of a longer character can be taken for ASCII. Anything else counts as
 * unsafe: SJIS, BIG5, GBK, UHC, GB18030, JOHAB, SHIFT_JIS_2004 and what may come. */
static bool encoding_is_safe(struct slice name)
{
	static const char *const exact[] = { "UTF8",   "SQL_ASCII", "KOI8R",        "KOI8U",
					     "WIN866", "WIN874",    "MULE_INTERNAL" };

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (slice_ieq(name, slice_str(exact[i])))
			return true;
	return slice_has_prefix(name, SLICE("LATIN")) ||
	       slice_has_prefix(name, SLICE("ISO_8859_")) ||
	       slice_has_prefix(name, SLICE("EUC_")) || slice_has_prefix(name, SLICE("WIN125"));
}

static int parameter_status(struct pg *p, struct slice body)
{
	struct pg_reader r = { .rest = body };
	struct slice name = pg_read_str(&r), value = pg_read_str(&r);
	struct pg_lexing *l = &p->lexing;
	struct op_attr attrs[2] = { pg_attr_text("name", name), pg_attr_text("value", value) };

	if (!pg_read_done(&r))
		return -EBADMSG;
	if (slice_eq(name, SLICE("standard_conforming_strings"))) {
		l->strings_known = true;
		l->strings_standard = slice_eq(value, SLICE("on"));
		l->ever_unsafe |= !l->strings_standard;
	} else if (slice_eq(name, SLICE("client_encoding"))) {
		l->encoding_known = true;
		l->encoding_safe = encoding_is_safe(value);
		l->encoding_utf8 = slice_eq(value, SLICE("UTF8"));
		l->ever_unsafe |= !l->encoding_safe;
	}
	return pg_event_attrs(p, PROTO_NOTE, 0, "parameter", false, attrs, 2);
}

static int authentication(struct pg *p, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	struct pg_reader r = { .rest = body };
	uint32_t code = pg_read_u32(&r);

	if (!e || e->kind != PG_PEND_STARTUP || p->authenticated)
		return -EPROTO;
	if (r.bad || (code == 0 && r.rest.len))
		return -EBADMSG;
	switch (code) {
	case 0: p->authenticated = true; break;
	case 2: p->auth = "kerberos"; break;
	case 3: p->auth = "password"; break;
	case 5: p->auth = "md5"; break;
	case 7: p->auth = "gss"; break;
	case 9: p->auth = "sspi"; break;
	case 10: p->auth = "sasl"; break;
	case 8:  /* more of GSS or SSPI */
	case 11: /* more of SASL */
	case 12: break;
	default: return -EPROTO;
	}
	return 0;
}

static int backend_key(struct pg *p, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	struct op_attr attr;

	if (!e || e->kind != PG_PEND_STARTUP || !p->authenticated)
		return -EPROTO;
	if (body.len < 8)
		return -EBADMSG;
	/* The key itself would let a reader of the record cancel queries. */
	attr = pg_attr_int("pid", (int32_t)pg_be32(body.ptr));
	return pg_event_attrs(p, PROTO_NOTE, 0, "backend", false, &attr, 1);
}

static int notice(struct pg *p, struct slice body)
{
	const struct pg_pend *e = pg_pend_head(p);
	struct fields f;
	int r = read_fields(body, &f);
	struct op_attr attrs[3];

	if (r < 0)
		return r;
	attrs[0] = pg_attr_text("severity", f.severity);
	attrs[1] = pg_attr_text("sqlstate", f.sqlstate);
	attrs[2] = pg_attr_text("message", f.message);
	return pg_event_attrs(p, PROTO_NOTE, e ? pg_answer_op(e) : 0, "notice", false, attrs, 3);
}

static int notification(struct pg *p, struct slice body)
{
	struct pg_reader r = { .rest = body };
	struct op_attr attrs[3];

	attrs[0] = pg_attr_int("pid", (int32_t)pg_read_u32(&r));
	attrs[1] = pg_attr_text("channel", pg_read_str(&r));
	attrs[2] = pg_attr_text("payload", pg_read_str(&r));
	if (!pg_read_done(&r))
		return -EBADMSG;
	return pg_event_attrs(p, PROTO_NOTE, 0, "notification", false, attrs, 3);
}

static int negotiate(struct pg *p, struct slice body)
{
	const struct pg_pend *e = pg_pend_head(p);
	struct pg_reader r = { .rest = body };
	struct op_attr attr = pg_attr_int("minor", pg_read_u32(&r) & 0xffff);
	uint32_t n = pg_read_u32(&r);

	if (!e || e->kind != PG_PEND_STARTUP || p->authenticated)
		return -EPROTO;
	while (n-- && !r.bad)
		(void)pg_read_str(
			&r); /* options that the server does not know: the client's affair */
	if (!pg_read_done(&r))
		return -EBADMSG;
	return pg_event_attrs(p, PROTO_NOTE, 0, "protocol version negotiated", false, &attr, 1);
}

/* Takes entry i out of the middle. */
static void pend_remove(struct pg *p, size_t i)
{
	for (; i + 1 < p->pend_count; i++)
		*pg_pend_at(p, i) = *pg_pend_at(p, i + 1);
	p->pend_count--;
}

/*
 * The server reads CopyData now. It reads past Syncs that were sent behind the COPY, or has failed
 * already and will answer them: both are possible until ReadyForQuery.
 */
static int copy_in_begins(struct pg *p, uint64_t op)
{
	bool open = false;

	p->copy_in = true;
	if (p->copy_op != op && p->data_op != op)
		p->copy_recorded = 0;
	p->copy_op = op;
	while (p->pend_count > 1 && pg_pend_at(p, 1)->kind == PG_PEND_SYNC) {
		pend_remove(p, 1);
		pg_sync_maybe(p);
		open = true;
	}
	if (p->pend_count > 1 && pg_pend_at(p, 1)->kind == PG_PEND_COPY_END) {
		pend_remove(p, 1);
		p->copy_in = false;
	}
	/* Whether what follows such a Sync is run or ignored cannot be told from the answers. */
	return open && p->pend_count > 1 && pg_pend_at(p, 1)->kind != PG_PEND_SYNC ? -EPROTO : 0;
}

static int copy_response(struct pg *p, uint8_t type, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	struct pg_reader r = { .rest = body };
	uint64_t id;
	int err;

	(void)pg_read_u8(&r); /* text or binary as a whole */
	(void)pg_read_bytes(&r, 2 * (size_t)pg_read_u16(&r));
	if (!pg_read_done(&r))
		return -EBADMSG;
	if (!runs_sql(e) || e->refusal || e->failed)
		return -EPROTO;
	if (type == 'G')
		return copy_in_begins(p, pg_answer_op(e));
	if (type == 'H') {
		p->copy_out = true;
		return 0;
	}
	id = p->next_op;
	err = pg_event_push(p, &(struct proto_event){ .type = PROTO_OPAQUE,
						      .op_id = id,
						      .text = "CopyBoth: replication stream" });
	if (err < 0)
		return err;
	p->next_op++;
	p->opaque_op = id;
	return 0;
}

static int parameter_description(struct pg *p, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	struct pg_reader r = { .rest = body };
	unsigned n = pg_read_u16(&r);

	if (r.bad || r.rest.len != 4 * (size_t)n)
		return -EBADMSG;
	if (!answers(e, PG_PEND_DESCRIBE_STMT) || e->described)
		return -EPROTO;
	e->described = true;
	return e->prep ? pg_prep_set_oids(p, e->prep, r.rest) : 0;
}

static int row_description(struct pg *p, struct slice body)
{
	struct pg_pend *e = pg_pend_head(p);
	size_t nowhere = SIZE_MAX, *recorded = &nowhere;
	uint64_t op = 0;
	bool pops = true;
	int r;

	if (answers(e, PG_PEND_QUERY)) {
		op = pg_answer_op(e);
		recorded = &e->recorded;
		pops = false;
	} else if (answers(e, PG_PEND_DESCRIBE_PORTAL)) {
		if (e->portal) {
			op = e->portal->op;
			recorded = &e->portal->recorded;
		}
	} else if (!answers(e, PG_PEND_DESCRIBE_STMT) || !e->described) {
		return -EPROTO;
	}
	r = pg_row_header(p, body, op, recorded);
	if (r == 0 && pops)
		pg_pend_pop(p);
	return r;
}

/* Messages without content that complete one request. */
static int complete(struct pg *p, uint8_t type)
{
	struct pg_pend *e = pg_pend_head(p);
	int r = 0;

	switch (type) {
	case '1':
		if (!answers(e, PG_PEND_PARSE))
			return -EPROTO;
		if (e->prep)
			pg_prep_confirm(p, e->prep);
		r = result_complete(p, e, SLICE("PARSE"));
		for (uint64_t i = 1; r == 0 && i < e->n_ops; i++)
			r = pg_result_skipped(p, e->op + i, 1);
		break;
	case '2':
		if (!answers(e, PG_PEND_BIND))
			return -EPROTO;
		break;
	case '3':
		if (!answers(e, PG_PEND_CLOSE))
			return -EPROTO;
		if (e->described)
			pg_name_closed(p, slice_of(e->close_name, e->close_len), e->seq);
		break;
	case 'n':
		if (!answers(e, PG_PEND_DESCRIBE_PORTAL) &&
		    !(answers(e, PG_PEND_DESCRIBE_STMT) && e->described))
			return -EPROTO;
		break;
	case 's':
		if (!answers(e, PG_PEND_EXECUTE))
			return -EPROTO;
		r = result_complete(p, e, SLICE("PORTAL SUSPENDED"));
		break;
	default: /* 'I', EmptyQueryResponse */
		if (!runs_sql(e) || e->refusal || e->failed)
			return -EPROTO;
		if (result_wanted(p, e, 0))
			r = result_complete(p, e, SLICE("EMPTY"));
		if (e->kind == PG_PEND_QUERY) {
			e->answered = true;
			e->done++;
			return r;
		}
		break;
	}
	if (r == 0)
		pg_pend_pop(p);
	return r;
}

int pg_answer_message(struct pg *p, struct slice whole, bool *ret_replaced)
{
	uint8_t type = whole.ptr[0];
	struct slice body = slice_from(whole, 5);
	struct pg_reader r = { .rest = body };
	const struct pg_pend *e = p->maybe_sync ? pg_pend_head(p) : NULL;
	struct slice tag;

	/* An answer to something behind them: ReadyForQuery for those Syncs has come, or never will. */
	if (e && e->seq > p->maybe_seq && !strchr("ZNAS", type))
		p->maybe_sync = 0;
	switch (type) {
	case 'R': return authentication(p, body);
	case 'K': return backend_key(p, body);
	case 'v': return negotiate(p, body);
	case 'S': return parameter_status(p, body);
	case 'N': return notice(p, body);
	case 'A': return notification(p, body);
	case 'Z': return ready_for_query(p, body);
	case 'E': return error_response(p, whole, ret_replaced);
	case 'T': return row_description(p, body);
	case 't': return parameter_description(p, body);
	case 'G':
	case 'H':
	case 'W': return copy_response(p, type, body);
	case 'C':
		tag = pg_read_str(&r);
		return pg_read_done(&r) ? command_complete(p, pg_pend_head(p), tag) : -EBADMSG;
	case 'c':
		if (body.len)
			return -EBADMSG;
		if (!p->copy_out)
			return -EPROTO;
		p->copy_out = false;
		return 0;
	default: return body.len ? -EBADMSG : complete(p, type);
	}
}

int pg_answer_lost(struct pg *p)
{
	struct op_attr attr = pg_attr_bool("lost", true);
	struct pg_pend *e;
	int r = 0;

	while (r == 0 && (e = pg_pend_head(p))) {
		uint64_t done = e->kind == PG_PEND_QUERY || e->kind == PG_PEND_CALL
					? (e->kind == PG_PEND_CALL ? e->answered : e->done)
					: 0;

		for (uint64_t i = done; r == 0 && !e->failed && i < e->n_ops; i++)
			r = pg_event_attrs(p, PROTO_RESULT, e->op + i, NULL, true, &attr, 1);
		if (r == 0 && e->kind == PG_PEND_EXECUTE && !e->n_ops && !e->failed &&
		    !(e->portal && e->portal->answered))
			r = pg_event_attrs(p, PROTO_RESULT, e->op, NULL, true, &attr, 1);
		if (e->portal)
			e->portal->answered = true;
		if (e->bound)
			e->bound->answered = true;
		pg_pend_pop(p);
	}
	return r;
}
