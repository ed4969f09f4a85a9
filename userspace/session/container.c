// SPDX-License-Identifier: Apache-2.0
#include "container.h"

static const struct {
	const char *prefix, *runtime;
} scopes[] = {
	{ "docker-", "docker" },
	{ "libpod-", "podman" },
	{ "cri-containerd-", "containerd" },
	{ "crio-", "cri-o" },
};

static bool is_hex_id(struct slice s)
{
	if (s.len < 12 || s.len > 64)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!((s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f')))
			return false;
	return true;
}

static struct slice without_suffix(struct slice s, struct slice suffix)
{
	if (s.len > suffix.len && slice_eq(slice_from(s, s.len - suffix.len), suffix))
		s.len -= suffix.len;
	return s;
}

/* "pod<uid>" or "kubepods-burstable-pod<uid>.slice": the uid, 32 hex digits with - or _. */
static struct slice pod_uid(struct slice part)
{
	static const char word[] = "pod";

	part = without_suffix(part, SLICE(".slice"));
	for (size_t i = 0; i + 3 + 36 <= part.len; i++) {
		struct slice uid = slice_from(part, i + 3);

		if (memcmp(part.ptr + i, word, 3) == 0 && uid.len == 36 &&
		    (uid.ptr[8] == '-' || uid.ptr[8] == '_'))
			return uid;
	}
	return SLICE_NONE;
}

struct container_ref container_from_path(struct slice path)
{
	struct container_ref ref = { .runtime = "" };
	struct slice rest = path, parent = SLICE_NONE;

	while (rest.len) {
		ptrdiff_t cut = slice_chr(rest, '/');
		struct slice part = cut < 0 ? rest : slice_head(rest, (size_t)cut);
		struct slice name = without_suffix(part, SLICE(".scope")), uid = pod_uid(part);

		rest = cut < 0 ? SLICE_NONE : slice_from(rest, (size_t)cut + 1);
		if (!part.len)
			continue;
		if (uid.len)
			ref.pod = uid;
		for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
			struct slice prefix = slice_str(scopes[i].prefix);

			if (slice_has_prefix(name, prefix) &&
			    is_hex_id(slice_from(name, prefix.len))) {
				ref.runtime = scopes[i].runtime;
				ref.id = slice_from(name, prefix.len);
			}
		}
		if (is_hex_id(part) && slice_eq_str(parent, "docker")) {
			ref.runtime = "docker";
			ref.id = part;
		} else if (is_hex_id(part) && pod_uid(parent).len) {
			ref.runtime = "containerd";
			ref.id = part;
		}
		parent = part;
	}
	return ref;
}
