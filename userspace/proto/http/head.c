// SPDX-License-Identifier: Apache-2.0
#include "head.h"

#include <errno.h>
#include <llhttp.h>

enum {
	C_TOKEN = 1,  /* RFC 9110 §5.6.2 tchar */
	C_VALUE = 2,  /* field values: visible, obs-text, space, tab */
	C_TARGET = 4, /* request targets: visible ASCII, without '#' */
};

#define T (C_TOKEN | C_VALUE | C_TARGET)
#define V (C_VALUE | C_TARGET)
#define W (C_VALUE)
static const uint8_t class_of[256] = {
	['\t'] = W,        [' '] = W, ['!'] = T,           ['"'] = V,  ['#'] = T & ~C_TARGET,
	['$'] = T,         ['%'] = T, ['&'] = T,           ['\''] = T, ['('] = V,
	[')'] = V,         ['*'] = T, ['+'] = T,           [','] = V,  ['-'] = T,
	['.'] = T,         ['/'] = V, ['0' ... '9'] = T,   [':'] = V,  [';'] = V,
	['<'] = V,         ['='] = V, ['>'] = V,           ['?'] = V,  ['@'] = V,
	['A' ... 'Z'] = T, ['['] = V, ['\\'] = V,          [']'] = V,  ['^'] = T,
	['_'] = T,         ['`'] = T, ['a' ... 'z'] = T,   ['{'] = V,  ['|'] = T,
	['}'] = V,         ['~'] = T, [0x80 ... 0xff] = W,
};
#undef T
#undef V
#undef W

static int fault(struct http_fault *f, size_t at, int code, unsigned status, const char *rule,
		 const char *spec)
{
	*f = (struct http_fault){
		.at = at, .code = code, .status = status, .rule = rule, .spec = spec
	};
	return code;
}

/* Length of the run of bytes of that class at the front of s. */
static size_t span(struct slice s, uint8_t class)
{
	size_t i = 0;

	while (i < s.len && (class_of[s.ptr[i]] & class))
		i++;
	return i;
}

bool http_is_token(struct slice s)
{
	return s.len && span(s, C_TOKEN) == s.len;
}

static bool ends_in(struct slice name, struct slice word)
{
	return name.len >= word.len && slice_ieq(slice_from(name, name.len - word.len), word);
}

bool http_head_is_secret(struct slice name)
{
	/* Every vendor has a header of its own; their names end in few words. */
	switch (name.ptr[name.len - 1] | 0x20) {
	case 'n': /* not "connection", the most frequent name that ends so */
		return ends_in(name, SLICE("token")) || ends_in(name, SLICE("authorization"));
	case 'e': return ends_in(name, SLICE("cookie"));
	case 'y':
		return ends_in(name, SLICE("api-key")) || ends_in(name, SLICE("apikey")) ||
		       ends_in(name, SLICE("access-key")) || ends_in(name, SLICE("auth-key")) ||
		       ends_in(name, SLICE("functions-key")) ||
		       ends_in(name, SLICE("subscription-key"));
	case 't': return ends_in(name, SLICE("secret"));
	case 'd': return ends_in(name, SLICE("password"));
	case 's': return ends_in(name, SLICE("credentials"));
	default: return false;
	}
}

bool http_field_next(struct slice *lines, struct slice *ret_name, struct slice *ret_value)
{
	ptrdiff_t nl = slice_chr(*lines, '\n'), colon;
	struct slice line;

	if (nl < 2)
		return false;
	line = slice_head(*lines, (size_t)nl - 1);
	*lines = slice_from(*lines, (size_t)nl + 1);
	colon = slice_chr(line, ':');
	if (colon < 0)
		return false;
	*ret_name = slice_head(line, (size_t)colon);
	*ret_value = slice_trim(slice_from(line, (size_t)colon + 1));
	return true;
}

/* "close, keep-alive, upgrade": which of them are there. */
static int parse_connection(struct slice v, size_t at, struct http_head *h, struct http_fault *f)
{
	while (v.len) {
		ptrdiff_t comma = slice_chr(v, ',');
		struct slice t = slice_trim(slice_head(v, comma < 0 ? v.len : (size_t)comma));

		v = slice_from(v, comma < 0 ? v.len : (size_t)comma + 1);
		if (!t.len)
			continue;
		if (!http_is_token(t))
			return fault(f, at, -EBADMSG, 400, "malformed Connection",
				     "RFC 9110 §7.6.1");
		if (slice_ieq(t, SLICE("close")))
			h->conn_close = true;
		else if (slice_ieq(t, SLICE("keep-alive")))
			h->conn_keep = true;
		else if (slice_ieq(t, SLICE("upgrade")))
			h->conn_upgrade = true;
		else if (slice_ieq(t, SLICE("content-length")) || slice_ieq(t, SLICE("host")) ||
			 slice_ieq(t, SLICE("transfer-encoding")))
			/* A proxy behind us would strip that field and frame the rest otherwise. */
			return fault(f, at, -EBADMSG, 400,
				     "Connection names a field that frames or routes",
				     "RFC 9110 §7.6.1");
	}
	return 0;
}

static int parse_length(struct slice v, size_t at, struct http_head *h, struct http_fault *f)
{
	if (h->has_length)
		return fault(f, at, -EBADMSG, 400, "more than one Content-Length", "RFC 9112 §6.3");
	if (slice_to_u64(v, &h->length) < 0 || h->length > INT64_MAX)
		return fault(f, at, -EBADMSG, 400, "malformed Content-Length", "RFC 9110 §8.6");
	h->has_length = true;
	return 0;
}

static int parse_coding(struct slice v, size_t at, struct http_head *h, struct http_fault *f)
{
	if (h->chunked)
		return fault(f, at, -EBADMSG, 400, "more than one Transfer-Encoding",
			     "RFC 9112 §6.1");
	if (!v.len)
		return fault(f, at, -EBADMSG, 400, "empty Transfer-Encoding", "RFC 9112 §6.1");
	if (!slice_ieq(v, SLICE("chunked")))
		return fault(f, at, -EOPNOTSUPP, 501, "Transfer-Encoding other than chunked",
			     "RFC 9112 §6.1");
	h->chunked = true;
	return 0;
}

/* A field whose value says something to us. n: in lower case; at: where it lies, for faults. */
static int parse_known(struct slice n, struct slice v, size_t at, struct http_head *h,
		       struct http_fault *f)
{
	switch (n.len) {
	case 4:
		if (!slice_eq(n, SLICE("host")))
			break;
		if (h->has_host)
			return fault(f, at, -EBADMSG, 400, "more than one Host", "RFC 9112 §3.2");
		h->has_host = true;
		h->host = v;
		break;
	case 6:
		if (slice_eq(n, SLICE("expect"))) {
			if (h->expect.len)
				return fault(f, at, -EBADMSG, 400, "more than one Expect",
					     "RFC 9110 §10.1.1");
			h->expect = v;
			h->expect_continue = slice_ieq(v, SLICE("100-continue"));
		}
		break;
	case 7:
		if (slice_eq(n, SLICE("upgrade"))) {
			if (h->upgrade.len || !v.len)
				return fault(f, at, -EBADMSG, 400,
					     "empty Upgrade, or more than one", "RFC 9110 §7.8");
			h->upgrade = v;
		}
		break;
	case 10:
		if (slice_eq(n, SLICE("connection")))
			return parse_connection(v, at, h, f);
		if (slice_eq(n, SLICE("user-agent")))
			h->user_agent = v;
		break;
	case 12:
		if (slice_eq(n, SLICE("content-type"))) {
			h->content_type = v;
			h->n_types++;
		}
		break;
	case 13:
		if (slice_eq(n, SLICE("authorization")))
			h->authorization = v;
		else if (slice_eq(n, SLICE("x-http-method")))
			h->method_override = v;
		else if (slice_eq(n, SLICE("x-rewrite-url")))
			h->url_override = v;
		break;
	case 14:
		if (slice_eq(n, SLICE("content-length")))
			return parse_length(v, at, h, f);
		if (slice_eq(n, SLICE("x-original-url")))
			h->url_override = v;
		break;
	case 16:
		if (slice_eq(n, SLICE("content-encoding"))) {
			h->content_coding = v;
			h->n_codings++;
		}
		break;
	case 17:
		if (slice_eq(n, SLICE("transfer-encoding")))
			return parse_coding(v, at, h, f);
		if (slice_eq(n, SLICE("x-method-override")))
			h->method_override = v;
		break;
	case 22:
		if (slice_eq(n, SLICE("x-http-method-override")))
			h->method_override = v;
		break;
	default: break;
	}
	return 0;
}

/* One field line without its CRLF. at: its offset, for faults. */
static int check_field(struct slice line, size_t at, struct slice *ret_name,
		       struct slice *ret_value, struct http_fault *f)
{
	size_t n = span(line, C_TOKEN), v;

	if (n == line.len || line.ptr[n] != ':' || n == 0) {
		if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
			return fault(f, at, -EBADMSG, 400, "folded field line", "RFC 9112 §5.2");
		if (n < line.len && n && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
			return fault(f, at + n, -EBADMSG, 400, "space before the colon",
				     "RFC 9112 §5.1");
		return fault(f, at + n, -EBADMSG, 400, "malformed field name", "RFC 9112 §5");
	}
	v = span(slice_from(line, n + 1), C_VALUE);
	if (n + 1 + v != line.len)
		return fault(f, at + n + 1 + v, -EBADMSG, 400,
			     line.ptr[n + 1 + v] == '\r' ? "CR without LF"
							 : "control character in a field value",
			     "RFC 9110 §5.5");
	*ret_name = slice_head(line, n);
	*ret_value = slice_trim(slice_from(line, n + 1));
	return 0;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static int parse_version(struct slice v, size_t at, struct http_head *h, struct http_fault *f)
{
	if (v.len == 8 && memcmp(v.ptr, "HTTP/1.", 7) == 0 && (v.ptr[7] | 1) == '1') {
		h->minor = v.ptr[7] & 1;
		return 0;
	}
	if (v.len == 8 && memcmp(v.ptr, "HTTP/", 5) == 0 && v.ptr[6] == '.' && v.ptr[5] >= '0' &&
	    v.ptr[5] <= '9' && v.ptr[7] >= '0' && v.ptr[7] <= '9')
		return fault(f, at, -EOPNOTSUPP, 505, "HTTP version other than 1.0 and 1.1",
			     "RFC 9112 §2.3");
	return fault(f, at, -EBADMSG, 400, "malformed HTTP version", "RFC 9112 §2.3");
}

static int parse_request_line(struct slice line, size_t at, struct http_head *h,
			      struct http_fault *f)
{
	size_t m = span(line, C_TOKEN), t;

	if (m == 0 || m == line.len || line.ptr[m] != ' ')
		return fault(f, at + m, -EBADMSG, 400, "malformed method", "RFC 9112 §3.1");
	t = span(slice_from(line, m + 1), C_TARGET);
	if (t == 0 || m + 1 + t == line.len || line.ptr[m + 1 + t] != ' ')
		return fault(f, at + m + 1 + t, -EBADMSG, 400, "malformed request target",
			     "RFC 9112 §3.2");
	h->method = slice_head(line, m);
	h->target = slice_head(slice_from(line, m + 1), t);
	return parse_version(slice_from(line, m + t + 2), at + m + t + 2, h, f);
}

static int parse_status_line(struct slice line, size_t at, struct http_head *h,
			     struct http_fault *f)
{
	struct slice code = slice_head(slice_from(line, 9), 3);
	uint64_t v;
	int r;

	r = parse_version(slice_head(line, 8), at, h, f);
	if (r < 0)
		return r;
	if (line.len < 12 || line.ptr[8] != ' ' || slice_to_u64(code, &v) < 0 || v < 100 ||
	    (line.len > 12 && line.ptr[12] != ' '))
		return fault(f, at + 8, -EBADMSG, 502, "malformed status line", "RFC 9112 §4");
	h->status = (unsigned)v;
	h->reason = slice_from(line, 13);
	if (span(h->reason, C_VALUE) != h->reason.len)
		return fault(f, at + 13, -EBADMSG, 502, "control character in the reason phrase",
			     "RFC 9112 §4");
	return 0;
}

/* ---- the second opinion ---- */

struct opinion {
	bool seen;
	uint64_t length;
	uint16_t flags;
	uint16_t status;
	uint8_t minor;
};

static int opinion_take(llhttp_t *p)
{
	struct opinion *o = p->data;

	*o = (struct opinion){ .seen = true,
			       .length = p->content_length,
			       .flags = p->flags,
			       .status = p->status_code,
			       .minor = p->http_minor };
	return HPE_PAUSED; /* the body is not its business */
}

/* Methods that llhttp reads as HTTP; others go in under a name that it knows, since only framing is
 * asked here, and to Weir they are operations of unknown effect. */
static bool llhttp_knows(struct slice m)
{
	static const char *const known[] = { "GET",   "POST",    "PUT",     "HEAD", "DELETE",
					     "PATCH", "OPTIONS", "CONNECT", "TRACE" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (slice_eq_str(m, known[i]))
			return true;
	return false;
}

static int ask_llhttp(struct slice head, bool response, const struct http_head *h,
		      struct http_fault *f)
{
	static const llhttp_settings_t settings = { .on_headers_complete = opinion_take };
	struct opinion o = { 0 };
	const char *text = (const char *)h->lines.ptr;
	size_t len = (size_t)(head.ptr + head.len - h->lines.ptr);
	llhttp_errno_t e = HPE_OK;
	llhttp_t p;

	llhttp_init(&p, response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
	p.data = &o;
	if (!response && !llhttp_knows(h->method)) {
		e = llhttp_execute(&p, "POST", 4);
		text += h->method.len;
		len -= h->method.len;
	}
	if (e == HPE_OK)
		e = llhttp_execute(&p, text, len);
	if (e != HPE_PAUSED || !o.seen)
		return fault(f, 0, -EBADMSG, response ? 502 : 400, "refused by the second parser",
			     "llhttp, strict");
	if (o.minor != h->minor || !!(o.flags & F_CHUNKED) != h->chunked ||
	    !!(o.flags & F_CONTENT_LENGTH) != h->has_length ||
	    (h->has_length && o.length != h->length) || (response && o.status != h->status))
		return fault(f, 0, -EBADMSG, response ? 502 : 400,
			     "two parsers read it differently", "RFC 9112 §11.2");
	return 0;
}

/* name in lower case, in to. */
static struct slice lower(struct slice name, uint8_t *to)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		to[i] = c | (uint8_t)(((uint8_t)(c - 'A') < 26) << 5);
	}
	return slice_of(to, name.len);
}

static void field_keep(struct http_fields *out, struct slice lowered, struct slice value,
		       bool secret)
{
	if (out->n == out->max)
		return;
	out->at[out->n++] = (struct op_header){ lowered, secret ? SLICE_NONE : value };
	out->text += lowered.len;
}

int http_head_parse(struct slice head, size_t lead, struct http_fields *fields,
		    struct http_head *ret, struct http_fault *f)
{
	uint8_t small[32]; /* longer names are nothing that parse_known knows */
	bool response = !fields, secret;
	struct http_head h = { 0 };
	size_t at = lead;
	ptrdiff_t nl = slice_chr(slice_from(head, at), '\n');
	struct slice line = slice_head(slice_from(head, at), (size_t)nl - 1), name, value;
	int r;

	h.lines = slice_head(slice_from(head, lead), head.len - lead - 2);
	r = response ? parse_status_line(line, at, &h, f) : parse_request_line(line, at, &h, f);
	if (r < 0)
		return r;
	for (;;) {
		at += (size_t)nl + 1;
		nl = slice_chr(slice_from(head, at), '\n');
		if (nl == 1)
			break;
		line = slice_head(slice_from(head, at), (size_t)nl - 1);
		r = check_field(line, at, &name, &value, f);
		if (r == 0 && (fields || name.len <= sizeof(small))) {
			name = lower(name, fields ? fields->text : small);
			r = parse_known(name, value, at, &h, f);
		}
		if (r < 0)
			return r;
		h.n_headers++;
		if (response)
			continue;
		secret = http_head_is_secret(name);
		h.secrets |= secret;
		field_keep(fields, name, value, secret);
	}
	if (h.has_length && h.chunked)
		return fault(f, lead, -EBADMSG, 400, "both Content-Length and Transfer-Encoding",
			     "RFC 9112 §6.3");
	if (h.chunked && h.minor == 0)
		return fault(f, lead, -EBADMSG, 400, "Transfer-Encoding in HTTP/1.0",
			     "RFC 9112 §6.1");
	if (!response && h.minor == 1 && !h.has_host)
		return fault(f, lead, -EBADMSG, 400, "no Host", "RFC 9112 §3.2");
	r = ask_llhttp(head, response, &h, f);
	if (r == 0)
		*ret = h;
	return r;
}

int http_trailer_check(struct slice trailer, struct http_fault *f)
{
	static const char *const forbidden[] = {
		"content-length",
		"transfer-encoding",
		"host",
		"connection",
		"upgrade",
		"expect",
		"te",
		"trailer",
		"authorization",
		"proxy-authorization",
		"cookie",
		"set-cookie",
		"content-type",
		"content-encoding",
		"content-range",
		"range",
		"keep-alive",
		"max-forwards",
		"cache-control",
	};
	size_t at = 0;

	for (;;) {
		struct slice rest = slice_from(trailer, at), line, name, value;
		ptrdiff_t nl = slice_chr(rest, '\n');
		int r;

		if (nl <= 1)
			return 0;
		line = slice_head(rest, (size_t)nl - 1);
		r = check_field(line, at, &name, &value, f);
		if (r < 0)
			return r;
		for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
			if (slice_ieq(name, slice_str(forbidden[i])))
				return fault(f, at, -EBADMSG, 400,
					     "a trailer that frames, routes or authorises",
					     "RFC 9110 §6.5.1");
		at += (size_t)nl + 1;
	}
}
