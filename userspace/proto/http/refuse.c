// SPDX-License-Identifier: Apache-2.0
/* Native refusals: a JSON body that people and programs can read. */
#include "state.h"

enum { TEXT_MAX = 1024 }; /* bytes of a rule's id or message that are told */

static const char *reason_of(unsigned status)
{
	switch (status) {
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 414: return "URI Too Long";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	default: return "Error";
	}
}

/* A JSON string. Policies are UTF-8 already; only what JSON forbids is escaped. */
static int put_json(struct buf *b, const char *s)
{
	int r = buf_put_u8(b, '"');

	for (size_t i = 0; r == 0 && s[i] && i < TEXT_MAX; i++) {
		uint8_t c = (uint8_t)s[i];

		if (c == '"' || c == '\\')
			r = buf_printf(b, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			r = buf_printf(b, "\\u%04x", c);
		else
			r = buf_put_u8(b, c);
	}
	return r == 0 ? buf_put_u8(b, '"') : r;
}

static int put_body(struct buf *b, const char *error, const char *rule, const char *message)
{
	int r = buf_put_str(b, "{\"error\":");

	if (r == 0)
		r = put_json(b, error);
	if (r == 0 && rule)
		r = buf_put_str(b, ",\"rule\":");
	if (r == 0 && rule)
		r = put_json(b, rule);
	if (r == 0 && message)
		r = buf_put_str(b, ",\"message\":");
	if (r == 0 && message)
		r = put_json(b, message);
	return r == 0 ? buf_put_str(b, "}\n") : r;
}

int http_refuse(struct buf *b, unsigned status, const char *error, const char *rule,
		const char *message, bool head, bool close)
{
	struct buf body;
	int r;

	buf_init(&body, HTTP_REFUSAL_MAX);
	r = put_body(&body, error, rule, message);
	if (r == 0)
		r = buf_printf(b,
			       "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
			       "Content-Length: %zu\r\nCache-Control: no-store\r\n%s\r\n",
			       status, reason_of(status), buf_len(&body),
			       close ? "Connection: close\r\n" : "");
	if (r == 0 && !head)
		r = buf_put_slice(b, buf_peek(&body));
	buf_done(&body);
	return r;
}
