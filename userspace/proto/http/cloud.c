// SPDX-License-Identifier: Apache-2.0
#include "cloud.h"

#include <errno.h>

#include "text.h"

int cloud_segments(struct slice path, struct arena *a, struct slice ret[CLOUD_SEGMENTS_MAX])
{
	int n = 0;

	while (path.len) {
		ptrdiff_t slash;
		struct slice seg;

		path = slice_from(path, 1);
		slash = slice_chr(path, '/');
		seg = slice_head(path, slash < 0 ? path.len : (size_t)slash);
		path = slice_from(path, seg.len);
		if (!seg.len && !path.len)
			break; /* a slash at the end */
		if (n == CLOUD_SEGMENTS_MAX)
			return -EMSGSIZE;
		if (slice_chr(seg, '%') >= 0) {
			uint8_t *out = arena_alloc(a, seg.len);
			size_t len = 0;

			if (!out)
				return -ENOMEM;
			for (size_t i = 0; i < seg.len; i++) {
				int hi = i + 2 < seg.len ? http_hex_value(seg.ptr[i + 1]) : -1;
				int lo = i + 2 < seg.len ? http_hex_value(seg.ptr[i + 2]) : -1;

				if (seg.ptr[i] == '%' && hi >= 0 && lo >= 0) {
					out[len++] = (uint8_t)(hi << 4 | lo);
					i += 2;
				} else {
					out[len++] = seg.ptr[i];
				}
			}
			seg = slice_of(out, len);
		}
		ret[n++] = seg;
	}
	return n;
}

int cloud_join(const struct slice *seg, int n, struct arena *a, struct slice *ret)
{
	size_t len = 0, at = 0;
	uint8_t *out;

	for (int i = 0; i < n; i++)
		len += seg[i].len + 1;
	out = arena_alloc(a, len);
	if (!out)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (i)
			out[at++] = '/';
		if (seg[i].len)
			memcpy(out + at, seg[i].ptr, seg[i].len);
		at += seg[i].len;
	}
	*ret = slice_of(out, at);
	return 0;
}

size_t cloud_labels(struct slice host, struct slice *ret, size_t max)
{
	size_t n = 0;

	while (host.len) {
		ptrdiff_t dot = slice_chr(host, '.');
		struct slice label = slice_head(host, dot < 0 ? host.len : (size_t)dot);

		if (n == max)
			return 0;
		ret[n++] = label;
		host = slice_from(host, label.len + 1);
	}
	return n;
}

struct slice cloud_query(const struct cloud_request *q, const char *key)
{
	bool twice;

	return http_pairs_get(q->queries, q->n_queries, key, &twice);
}

struct slice cloud_header(const struct cloud_request *q, const char *name)
{
	for (size_t i = 0; i < q->n_headers; i++)
		if (slice_eq_str(q->headers[i].name, name))
			return q->headers[i].value.ptr ? q->headers[i].value : SLICE("");
	return SLICE_NONE;
}

bool cloud_ends(struct slice s, const char *suffix)
{
	size_t len = strlen(suffix);

	return s.len >= len && memcmp(s.ptr + s.len - len, suffix, len) == 0;
}

bool cloud_in(struct slice s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (slice_eq_str(s, words[i]))
			return true;
	return false;
}

#define WRITES (OP_READ | OP_WRITE)
/* What the first words of API actions mean, in AWS and Google alike, letters' case aside. */
static const struct {
	const char *word;
	uint32_t effects;
} verbs[] = {
	{ "get", OP_READ },
	{ "list", OP_READ },
	{ "describe", OP_READ },
	{ "batchget", OP_READ },
	{ "batchdescribe", OP_READ },
	{ "head", OP_READ },
	{ "lookup", OP_READ },
	{ "search", OP_READ },
	{ "query", OP_READ },
	{ "scan", OP_READ },
	{ "filter", OP_READ },
	{ "select", OP_READ },
	{ "view", OP_READ },
	{ "estimate", OP_READ },
	{ "simulate", OP_READ },
	{ "validate", OP_READ },
	{ "verify", OP_READ },
	{ "preview", OP_READ },
	{ "receive", WRITES }, /* takes messages off for a while */
	{ "pull", WRITES },
	{ "create", OP_WRITE },
	{ "batchcreate", OP_WRITE },
	{ "insert", OP_WRITE },
	{ "add", OP_WRITE },
	{ "allocate", OP_WRITE },
	{ "associate", OP_WRITE },
	{ "attach", OP_WRITE },
	{ "put", OP_WRITE },
	{ "batchput", OP_WRITE },
	{ "batchwrite", OP_WRITE | OP_DELETE },
	{ "transactwrite", OP_WRITE | OP_DELETE },
	{ "transactget", OP_READ },
	{ "copy", WRITES },
	{ "import", WRITES },
	{ "export", WRITES },
	{ "restore", WRITES },
	{ "register", OP_WRITE },
	{ "publish", OP_WRITE },
	{ "send", OP_WRITE },
	{ "write", OP_WRITE },
	{ "tail", OP_READ },
	{ "read", OP_READ },
	{ "fetch", OP_READ },
	{ "wait", OP_READ },
	{ "test", OP_READ },
	{ "upload", OP_WRITE },
	{ "tag", OP_WRITE },
	{ "update", OP_WRITE },
	{ "batchupdate", OP_WRITE },
	{ "patch", OP_WRITE },
	{ "modify", OP_WRITE },
	{ "change", OP_WRITE | OP_DELETE },
	{ "replace", OP_WRITE | OP_DELETE },
	{ "set", OP_WRITE },
	{ "enable", OP_WRITE },
	{ "disable", OP_WRITE },
	{ "complete", OP_WRITE },
	{ "acknowledge", OP_WRITE },
	{ "undelete", OP_WRITE },
	{ "resume", OP_WRITE },
	{ "suspend", OP_WRITE },
	{ "start", OP_WRITE | OP_EXEC },
	{ "restart", OP_WRITE | OP_EXEC },
	{ "reboot", OP_WRITE | OP_EXEC },
	{ "run", OP_WRITE | OP_EXEC },
	{ "execute", OP_WRITE | OP_EXEC | OP_UNKNOWN },
	{ "invoke", OP_EXEC },
	{ "stop", OP_WRITE },
	{ "cancel", OP_WRITE },
	{ "abort", OP_WRITE },
	{ "delete", OP_DELETE },
	{ "batchdelete", OP_DELETE },
	{ "remove", OP_DELETE },
	{ "terminate", OP_DELETE },
	{ "destroy", OP_DELETE },
	{ "deregister", OP_DELETE },
	{ "release", OP_DELETE },
	{ "purge", OP_DELETE },
	{ "detach", OP_DELETE },
	{ "disassociate", OP_DELETE },
	{ "untag", OP_DELETE },
	{ "expire", OP_DELETE },
	{ "reset", OP_WRITE | OP_DELETE },
	{ "rotate", OP_WRITE },
	{ "authorize", OP_GRANT },
	{ "revoke", OP_GRANT },
	{ "assume", OP_GRANT },
};

uint32_t cloud_verb_effects(struct slice action)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		struct slice word = slice_str(verbs[i].word);
		uint8_t next = action.len > word.len ? action.ptr[word.len] : 'A';

		if (slice_ieq(slice_head(action, word.len), word) && next >= 'A' && next <= 'Z')
			return verbs[i].effects;
	}
	return 0;
}

int cloud_decode(const struct cloud_request *q, struct arena *a, struct cloud *ret)
{
	int r;

	*ret = (struct cloud){ 0 };
	if (!q->path.len)
		return 0;
	r = cloud_gcp_decode(q, a, ret);
	if (r == 0)
		r = cloud_aws_decode(q, a, ret);
	if (r == 0)
		r = cloud_k8s_decode(q, a, ret);
	return r == -EMSGSIZE ? 0 : r;
}
