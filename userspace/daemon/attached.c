// SPDX-License-Identifier: Apache-2.0
#include "daemon/attached.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "daemon/file.h"

enum {
	/* Every byte of the policy may have become an escape of six. */
	ATTACHED_FILE_MAX = POLICY_TEXT_MAX * 6 + 64 * 1024,
	CONTAINER_MAX = 256, /* bytes, NUL included */
	POLICY_NAME_MAX = 1024,
};

/* For an agent whose policy was lost: nothing may pass, whatever the daemon's own policies say. */
static const char policy_refuse[] =
	"{\"name\": \"weir-state-lost\", \"mode\": \"enforce\", \"default\": \"block\"}";

/* A member that is a string below max bytes without control characters, or NULL; absent gives "". */
static const char *get_text(const json_t *o, const char *key, size_t max)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);

	if (!v)
		return "";
	if (!s || json_string_length(v) >= max || strlen(s) != json_string_length(v))
		return NULL;
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return NULL;
	return s;
}

static const char *check_labels(const json_t *labels)
{
	const char *key;
	json_t *v;

	if (!labels)
		return NULL;
	if (!json_is_object(labels))
		return "\"labels\" must be an object";
	if (json_object_size(labels) > IDENTITY_LABELS_MAX)
		return "too many labels";
	json_object_foreach((json_t *)labels, key, v) {
		if (!*key || strlen(key) >= IDENTITY_LABEL_LEN_MAX)
			return "a label's name is empty or too long";
		if (!json_is_string(v) || !get_text(labels, key, IDENTITY_LABEL_LEN_MAX))
			return "a label's value is no string, too long or has control characters";
	}
	return NULL;
}

static const char *check(const json_t *doc)
{
	const json_t *policy = json_object_get(doc, "policy");
	const char *cgroup = get_text(doc, "cgroup", CGROUP_PATH_MAX);

	if (!cgroup || cgroup[0] != '/')
		return "\"cgroup\" must be a path within the v2 hierarchy";
	if (!get_text(doc, "container", CONTAINER_MAX))
		return "\"container\" must be a short string";
	if (json_object_get(doc, "image") && !get_text(doc, "image", CONTAINER_MAX))
		return "\"image\" must be a short string";
	if (policy) {
		const json_t *text = json_object_get(policy, "text");

		if (!json_is_object(policy) || !get_text(policy, "name", POLICY_NAME_MAX) ||
		    !get_text(policy, "source", POLICY_NAME_MAX))
			return "\"policy\" must have \"name\", \"source\" and \"text\"";
		if (!json_is_string(text))
			return "\"policy\" has no \"text\"";
		if (json_string_length(text) > POLICY_TEXT_MAX)
			return "the policy is too long";
	}
	return check_labels(json_object_get(doc, "labels"));
}

static int attached_make(json_t *take_doc, __u64 cgroup_id, __u64 since_ns, struct attached **ret)
{
	struct attached *a = take_doc ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		json_decref(take_doc);
		return -ENOMEM;
	}
	list_init(&a->node);
	a->cgroup_id = cgroup_id;
	a->since_ns = since_ns;
	a->doc = take_doc;
	*ret = a;
	return 0;
}

int attached_new(const json_t *request, __u64 cgroup_id, __u64 since_ns, struct attached **ret,
		 const char **reterr)
{
	static const char *const keys[] = { "cgroup", "container", "image", "labels", "policy" };
	const char *problem = check(request);
	json_t *doc;

	if (problem) {
		*reterr = problem;
		return -EINVAL;
	}
	doc = json_object();
	if (!doc)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *v = json_object_get(request, keys[i]);

		if (v && json_object_set(doc, keys[i], v) < 0) {
			json_decref(doc);
			return -ENOMEM;
		}
	}
	return attached_make(doc, cgroup_id, since_ns, ret);
}

int attached_new_lost(const char *cgroup, __u64 cgroup_id, __u64 since_ns, struct attached **ret)
{
	int r = attached_make(json_pack("{ss}", "cgroup", cgroup), cgroup_id, since_ns, ret);

	if (r == 0)
		(*ret)->lost = true;
	return r;
}

struct attached *attached_free(struct attached *a)
{
	if (a) {
		list_remove(&a->node);
		json_decref(a->doc);
		free(a);
	}
	return NULL;
}

const char *attached_path(const struct attached *a)
{
	return json_string_value(json_object_get(a->doc, "cgroup"));
}

int attached_to_msg(const struct attached *a, struct ipc_msg *m)
{
	const json_t *policy = json_object_get(a->doc, "policy");
	const char *key, *container, *image;
	json_t *v;
	int r;

	ipc_msg_init(m, IPC_AGENT);
	m->head.cgroup_id = a->cgroup_id;
	container = json_string_value(json_object_get(a->doc, "container"));
	r = ipc_msg_put(m, attached_path(a));
	if (r == 0)
		r = ipc_msg_put(m, container ? container : "");
	image = json_string_value(json_object_get(a->doc, "image"));
	if (r == 0)
		r = ipc_msg_put(m, image ? image : "");
	json_object_foreach(json_object_get(a->doc, "labels"), key, v) {
		if (r == 0)
			r = ipc_msg_put(m, key);
		if (r == 0)
			r = ipc_msg_put(m, json_string_value(v));
	}
	if (r == 0 && (policy || a->lost)) {
		const char *name = json_string_value(json_object_get(policy, "source"));
		const json_t *text = json_object_get(policy, "text");
		struct policy_source src = {
			.name = name ? name : "policy",
			.json = slice_of(json_string_value(text), json_string_length(text)),
		};

		if (a->lost)
			src = (struct policy_source){ "(lost)", slice_str(policy_refuse) };
		r = ipc_bundle_new(&src, 1);
		if (r >= 0) {
			m->fds[0] = r;
			r = 0;
		}
	}
	return r;
}

static void file_name(__u64 id, char out[32])
{
	(void)snprintf(out, 32, "%" PRIu64 ".json", (uint64_t)id); /* 20 digits at most */
}

int attached_save(const struct attached *a, int dir_fd, const char *boot_id)
{
	json_t *file = json_pack("{sisssIsIsO}", "version", 1, "boot_id", boot_id, "cgroup_id",
				 (json_int_t)a->cgroup_id, "since_ns", (json_int_t)a->since_ns,
				 "agent", a->doc);
	_cleanup_(free_p) char *text = file ? json_dumps(file, JSON_COMPACT) : NULL;
	char name[32];

	json_decref(file);
	if (!text)
		return -ENOMEM;
	file_name(a->cgroup_id, name);
	return file_write_atomic(dir_fd, name, slice_str(text));
}

int attached_load(int dir_fd, __u64 cgroup_id, const char *path, const char *boot_id,
		  struct attached **ret)
{
	_cleanup_(free_p) char *text = NULL;
	json_t *file, *doc;
	const char *boot, *problem, *cgroup;
	json_int_t id, since;
	int version, r;
	char name[32];
	size_t len;

	file_name(cgroup_id, name);
	r = file_read(dir_fd, name, ATTACHED_FILE_MAX, &text, &len);
	if (r < 0)
		return r;
	file = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!file ||
	    json_unpack(file, "{s:i,s:s,s:I,s:I,s:o}", "version", &version, "boot_id", &boot,
			"cgroup_id", &id, "since_ns", &since, "agent", &doc) < 0 ||
	    version != 1) {
		json_decref(file);
		return -EBADMSG;
	}
	cgroup = json_string_value(json_object_get(doc, "cgroup"));
	if (strcmp(boot, boot_id) != 0 || (__u64)id != cgroup_id || !cgroup ||
	    strcmp(cgroup, path) != 0)
		r = -ESTALE;
	else
		r = attached_new(doc, cgroup_id, (__u64)since, ret, &problem);
	json_decref(file);
	return r == -EINVAL ? -EBADMSG : r;
}

void attached_forget(int dir_fd, __u64 cgroup_id)
{
	char name[32];

	file_name(cgroup_id, name);
	(void)unlinkat(dir_fd, name, 0); /* a file without hooks is swept at the next start */
}

__u64 attached_file_id(const char *name)
{
	size_t len = strlen(name);
	uint64_t id;

	if (len <= 5 || strcmp(name + len - 5, ".json") != 0 ||
	    slice_to_u64(slice_of(name, len - 5), &id) < 0)
		return 0;
	return id;
}
