// SPDX-License-Identifier: Apache-2.0
#include "body.h"

#include <errno.h>

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The longest head of at most max bytes that ends between two characters. */
static size_t utf8_head(const char *s, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* A copy with long strings cut, all the way down. NULL without memory. */
static json_t *copy_cut(const json_t *v, bool *cut)
{
	const char *s = json_string_value(v), *key;
	json_t *copy, *item;
	size_t n, i;

	if (s) {
		n = utf8_head(s, json_string_length(v), BODY_STRING_MAX);
		*cut |= n < json_string_length(v);
		return json_stringn_nocheck(s, n);
	}
	if (json_is_array(v)) {
		copy = json_array();
		json_array_foreach(v, i, item)
			if (json_array_append_new(copy, copy_cut(item, cut)) < 0) {
				json_decref(copy);
				return NULL;
			}
		return copy;
	}
	if (json_is_object(v)) {
		copy = json_object();
		json_object_foreach((json_t *)v, key, item)
			if (json_object_set_new(copy, key, copy_cut(item, cut)) < 0) {
				json_decref(copy);
				return NULL;
			}
		return copy;
	}
	return json_deep_copy(v);
}

/* Consumes v. */
static int put(json_t *v, struct buf *b)
{
	_cleanup_(free_p) char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;

	json_decref(v);
	if (!text)
		return -ENOMEM;
	if (strlen(text) > BODY_MAX)
		return -EMSGSIZE;
	return buf_put_str(b, text);
}

static json_t *answer_of(const struct body_held *h)
{
	return json_pack("{ss,ss+,ss++,ss++}", "token", h->token, "status", "/v1/approvals/", h->id,
			 "approve", "/v1/approvals/", h->id, "/approve", "deny", "/v1/approvals/",
			 h->id, "/deny");
}

/* What is ours is not the proxy's to say. */
static bool is_reserved(const char *key)
{
	return strcmp(key, "event") == 0 || strcmp(key, "id") == 0 || strcmp(key, "answer") == 0 ||
	       strcmp(key, "cut") == 0;
}

static json_t *held_object(const struct body_held *h, bool scalars_only)
{
	json_t *o = json_pack("{ss,ss}", "event", "held", "id", h->id), *v;
	bool cut = scalars_only, fine = o != NULL;
	const char *key;

	json_object_foreach((json_t *)h->op, key, v) {
		if (!fine)
			break;
		if (is_reserved(key))
			continue;
		if (scalars_only && (json_is_array(v) || json_is_object(v)))
			continue;
		fine = json_object_set_new(o, key, copy_cut(v, &cut)) == 0;
	}
	if (fine && h->token)
		fine = json_object_set_new(o, "answer", answer_of(h)) == 0;
	if (fine && (cut || json_is_true(json_object_get(h->op, "cut"))))
		fine = json_object_set_new(o, "cut", json_true()) == 0;
	if (!fine) {
		json_decref(o);
		return NULL;
	}
	return o;
}

int body_held_json(const struct body_held *h, struct buf *b)
{
	int r = put(held_object(h, false), b);

	/* Ten thousand parameters: then without lists. */
	return r == -EMSGSIZE ? put(held_object(h, true), b) : r;
}

int body_settled_json(const struct body_settled *s, struct buf *b)
{
	json_t *o = json_pack("{ss,ss,ss}", "event", "settled", "id", s->id, "how", s->how);

	if (o && ((*s->who && json_object_set_new(o, "who", json_string(s->who)) < 0) ||
		  (*s->reason && json_object_set_new(o, "reason", json_string(s->reason)) < 0))) {
		json_decref(o);
		return -EINVAL;
	}
	return put(o, b);
}

/* ---- Slack ----------------------------------------------------------------------------------- */

/*
 * Text that Slack shows as it is: "plain_text" has no markup, so no link, mention or format of an
 * agent's making appears. NULL without memory.
 */
static json_t *plain(const char *label, const char *s, size_t max)
{
	size_t len = strlen(s), n = utf8_head(s, len, max);
	struct buf b;
	json_t *o = NULL;

	buf_init(&b, max + 256);
	if (buf_printf(&b, "%s%.*s%s", label, (int)n, s, n < len ? " …" : "") == 0)
		o = json_pack("{ss,ss%,sb}", "type", "plain_text", "text", buf_peek(&b).ptr,
			      buf_len(&b), "emoji", 0);
	buf_done(&b);
	return o;
}

/* The notification's line. Only "&", "<" and ">" have a meaning where markup is off. */
static int line_put(struct buf *b, const char *s, size_t max)
{
	size_t n = utf8_head(s, strlen(s), max);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (s[i] == '&')
			r = buf_put_str(b, "&amp;");
		else if (s[i] == '<')
			r = buf_put_str(b, "&lt;");
		else if (s[i] == '>')
			r = buf_put_str(b, "&gt;");
		else
			r = buf_put_u8(b, s[i] == '\n' ? ' ' : (uint8_t)s[i]);
	}
	return r;
}

/* Slack refuses empty texts. */
static int add_field(json_t *fields, const char *label, const char *s)
{
	json_t *o;

	if (!*s)
		return 0;
	o = plain(label, s, 300);
	return o && json_array_append_new(fields, o) == 0 ? 0 : -ENOMEM;
}

/* By what an agent is known to people: its container or else its cgroup. */
static const char *agent_name(const json_t *op)
{
	const char *s = text_of(op, "container");

	return *s ? s : text_of(op, "cgroup");
}

static int append(json_t *list, json_t *take)
{
	return take && json_array_append_new(list, take) == 0 ? 0 : -ENOMEM;
}

static json_t *button(const char *label, const char *style, const char *action, const char *value)
{
	return json_pack("{ss,s{ss,ss},ss,ss,ss}", "type", "button", "text", "type", "plain_text",
			 "text", label, "style", style, "action_id", action, "value", value);
}

/* Blocks of the message into list. */
static int held_blocks(const struct body_held *h, json_t *list)
{
	const char *text = text_of(h->op, "text"), *message = text_of(h->op, "message");
	json_t *fields = json_array(), *buttons;
	char risk[32] = "", value[256];
	int r = fields ? 0 : -ENOMEM;

	if (json_is_integer(json_object_get(h->op, "risk")))
		snprintf(risk, sizeof(risk), "%lld",
			 (long long)json_integer_value(json_object_get(h->op, "risk")));
	if (r == 0)
		r = add_field(fields, "Agent\n", agent_name(h->op));
	if (r == 0)
		r = add_field(fields, "Target\n", text_of(h->op, "target"));
	if (r == 0)
		r = add_field(fields, "Rule\n", text_of(h->op, "rule"));
	if (r == 0)
		r = add_field(fields, "Risk\n", risk);
	if (r == 0)
		r = add_field(fields, "Until\n", text_of(h->op, "deadline"));
	if (r == 0)
		r = add_field(fields, "Operation\n", h->id);
	if (r < 0) {
		json_decref(fields);
		return r;
	}
	r = append(list, json_pack("{ss,so}", "type", "section", "fields", fields));
	if (r == 0 && *message)
		r = append(list, json_pack("{ss,so}", "type", "section", "text",
					   plain("", message, BODY_SLACK_TEXT_MAX)));
	if (r == 0 && *text)
		r = append(list, json_pack("{ss,so}", "type", "section", "text",
					   plain("", text, BODY_SLACK_TEXT_MAX)));
	if (r < 0 || !h->token)
		return r;
	snprintf(value, sizeof(value), "%s %s", h->id, h->token); /* both are bounded */
	buttons = json_pack("[o,o]", button("Approve", "primary", "weir_approve", value),
			    button("Deny", "danger", "weir_deny", value));
	return append(list, json_pack("{ss,so}", "type", "actions", "elements", buttons));
}

/* {"text": line, "mrkdwn": false, "blocks": …}. Consumes blocks. */
static int slack_put(const struct buf *line, json_t *blocks, struct buf *b)
{
	return put(json_pack("{ss%,sb,so}", "text", buf_peek(line).ptr, buf_len(line), "mrkdwn", 0,
			     "blocks", blocks),
		   b);
}

int body_held_slack(const struct body_held *h, struct buf *b)
{
	const char *verb = text_of(h->op, "verb"), *target = text_of(h->op, "target");
	json_t *blocks = json_array();
	struct buf line;
	int r;

	buf_init(&line, 8192);
	r = blocks ? buf_put_str(&line, "Approval wanted: ") : -ENOMEM;
	if (r == 0)
		r = line_put(&line, *verb ? verb : "an operation", 100);
	if (r == 0 && *target)
		r = buf_put_str(&line, " on ");
	if (r == 0)
		r = line_put(&line, target, 200);
	if (r == 0 && *agent_name(h->op))
		r = buf_put_str(&line, " by ");
	if (r == 0)
		r = line_put(&line, agent_name(h->op), 300);
	if (r == 0)
		r = append(blocks, json_pack("{ss,so}", "type", "header", "text",
					     plain("Approval wanted: ", *verb ? verb : "?", 100)));
	if (r == 0)
		r = held_blocks(h, blocks);
	if (r == 0)
		r = slack_put(&line, blocks, b);
	else
		json_decref(blocks);
	buf_done(&line);
	return r;
}

int body_settled_slack(const struct body_settled *s, struct buf *b)
{
	json_t *blocks = json_array();
	struct buf line, words;
	int r;

	buf_init(&line, 16384);
	buf_init(&words, 16384);
	r = blocks ? buf_printf(&words, "Operation %s: %s%s%s%s%s", s->id, s->how,
				*s->who ? " by " : "", s->who, *s->reason ? ": " : "", s->reason)
		   : -ENOMEM;
	if (r == 0)
		r = buf_put_u8(&words, '\0');
	if (r == 0)
		r = line_put(&line, (const char *)buf_peek(&words).ptr, 2000);
	if (r == 0)
		r = append(blocks, json_pack("{ss,so}", "type", "section", "text",
					     plain("", (const char *)buf_peek(&words).ptr,
						   BODY_SLACK_TEXT_MAX)));
	if (r == 0)
		r = slack_put(&line, blocks, b);
	else
		json_decref(blocks);
	buf_done(&line);
	buf_done(&words);
	return r;
}

/* ---- signatures ------------------------------------------------------------------------------ */

int body_sign(struct slice key, const char *timestamp, struct slice body,
	      char ret[BODY_SIGNATURE_MAX])
{
	uint8_t mac[SHA256_LEN];
	struct buf b;
	int r;

	buf_init(&b, strlen(timestamp) + 1 + body.len);
	r = buf_put_str(&b, timestamp);
	if (r == 0)
		r = buf_put_u8(&b, '.');
	if (r == 0)
		r = buf_put_slice(&b, body);
	if (r == 0)
		r = sha256_hmac(key, buf_peek(&b), mac);
	buf_done_wiped(&b);
	if (r < 0)
		return r;
	memcpy(ret, "v1=", 3);
	sha256_format(mac, ret + 3);
	return 0;
}
