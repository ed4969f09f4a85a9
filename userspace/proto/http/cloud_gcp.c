// SPDX-License-Identifier: Apache-2.0
/*
 * Google Cloud's REST APIs. Their paths are alike: pairs of collection and identifier, the last of
 * them with a custom verb behind a colon (google.aip.dev/122, /136) or, in the older APIs, behind a
 * slash. What that does not tell stands in the tables.
 */
#include <errno.h>

#include "cloud.h"

#define ANY NULL

/* Effects by service, resource and action; the first row that fits counts. */
static const struct {
	const char *service, *resource, *action;
	uint32_t effects;
	bool secret;
} rows[] = {
	{ ANY, ANY, "setIamPolicy", OP_GRANT, false },
	{ ANY, ANY, "setOrgPolicy", OP_GRANT, false },
	{ ANY, ANY, "clearOrgPolicy", OP_GRANT, false },
	{ "secretmanager", "versions", "access", OP_READ, true },
	{ "secretmanager", ANY, "addVersion", OP_WRITE, false },
	{ "iamcredentials", ANY, ANY, OP_GRANT, true },
	{ "sts", ANY, ANY, OP_GRANT, true },
	{ "oauth2", ANY, "create", OP_GRANT, true },
	{ "iam", "keys", "create", OP_GRANT | OP_WRITE, true },
	{ "iam", "serviceAccounts", "signBlob", OP_GRANT, true },
	{ "iam", "serviceAccounts", "signJwt", OP_GRANT, true },
	{ "cloudfunctions", "functions", "call", OP_EXEC, false },
	{ "cloudfunctions", "functions", "create", OP_WRITE | OP_EXEC, false },
	{ "cloudfunctions", "functions", "patch", OP_WRITE | OP_EXEC, false },
	{ "cloudfunctions", "functions", "generateUploadUrl", OP_WRITE, false },
	{ "cloudfunctions", "functions", "generateDownloadUrl", OP_READ, false },
	{ "run", "services", "create", OP_WRITE | OP_EXEC, false },
	{ "run", "services", "patch", OP_WRITE | OP_EXEC, false },
	{ "run", "services", "update", OP_WRITE | OP_EXEC, false },
	{ "cloudbuild", "builds", "create", OP_WRITE | OP_EXEC, false },
	{ "cloudkms", ANY, "decrypt", OP_READ, true },
	{ "cloudkms", ANY, "rawDecrypt", OP_READ, true },
	{ "cloudkms", ANY, "asymmetricDecrypt", OP_READ, true },
	{ "cloudkms", ANY, "encrypt", OP_READ, false },
	{ "cloudkms", ANY, "rawEncrypt", OP_READ, false },
	{ "cloudkms", ANY, "asymmetricSign", OP_GRANT, false },
	{ "cloudkms", ANY, "macSign", OP_GRANT, false },
	{ "cloudkms", ANY, "macVerify", OP_READ, false },
	{ "bigquery", "queries", "create", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "bigquery", "jobs", "create", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "bigquery", "tables", "insertAll", OP_WRITE, false },
	{ "sqladmin", "instances", "executeSql", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "sqladmin", "instances", "export", OP_READ | OP_FILE, false },
	{ "sqladmin", "instances", "import", OP_WRITE | OP_FILE | OP_UNKNOWN, false },
	{ "sqladmin", "instances", "clone", OP_READ | OP_WRITE | OP_SCHEMA, false },
	{ "sqladmin", "instances", "restoreBackup", OP_WRITE | OP_DELETE, false },
	{ "sqladmin", "instances", "promoteReplica", OP_WRITE | OP_ADMIN, false },
	{ "sqladmin", "instances", "failover", OP_WRITE | OP_ADMIN, false },
	{ "sqladmin", "instances", "generateEphemeralCert", OP_GRANT, true },
	{ "compute", "instances", "create", OP_WRITE | OP_EXEC, false },
	{ "compute", "instances", "setMetadata", OP_WRITE | OP_EXEC, false },
	{ "compute", "projects", "setCommonInstanceMetadata", OP_WRITE | OP_EXEC | OP_GRANT,
	  false },
	{ "compute", "instances", "setServiceAccount", OP_WRITE | OP_GRANT, false },
	{ "compute", "instances", "reset", OP_WRITE | OP_EXEC, false },
	{ "compute", "instances", "sendDiagnosticInterrupt", OP_ADMIN, false },
	{ "storage", "o", "copyTo", OP_READ | OP_WRITE, false },
	{ "storage", "o", "rewriteTo", OP_READ | OP_WRITE, false },
	{ "storage", "o", "compose", OP_READ | OP_WRITE, false },
	{ "storage", "hmacKeys", "create", OP_GRANT | OP_WRITE, true },
	{ "pubsub", "subscriptions", "modifyPushConfig", OP_WRITE | OP_NETWORK, false },
	{ "pubsub", "subscriptions", "seek", OP_WRITE | OP_DELETE, false },
	{ "container", "clusters", "create", OP_WRITE | OP_EXEC, false },
	{ "firestore", "documents", "commit", OP_WRITE | OP_DELETE, false },
	{ "firestore", "documents", "runQuery", OP_READ, false },
	{ "firestore", "documents", "runAggregationQuery", OP_READ, false },
	{ "firestore", "documents", "beginTransaction", OP_SESSION, false },
	{ "firestore", "documents", "rollback", OP_SESSION, false },
	{ "aiplatform", ANY, "predict", OP_EXEC, false },
	{ "aiplatform", ANY, "rawPredict", OP_EXEC, false },
	{ "aiplatform", ANY, "streamRawPredict", OP_EXEC, false },
	{ "aiplatform", ANY, "generateContent", OP_EXEC, false },
	{ "aiplatform", ANY, "streamGenerateContent", OP_EXEC, false },
	{ "generativelanguage", ANY, "generateContent", OP_EXEC, false },
	{ "generativelanguage", ANY, "streamGenerateContent", OP_EXEC, false },
};

/* Resources that add to what a change of them is. */
static const struct {
	const char *service, *resource;
	uint32_t adds;
} kinds[] = {
	{ "iam", ANY, OP_GRANT },
	{ "sqladmin", "users", OP_GRANT },
	{ "sqladmin", "instances", OP_SCHEMA },
	{ "sqladmin", "databases", OP_SCHEMA },
	{ "bigquery", "datasets", OP_SCHEMA },
	{ "bigquery", "tables", OP_SCHEMA },
	{ "bigquery", "rowAccessPolicies", OP_GRANT },
	{ "spanner", "instances", OP_SCHEMA },
	{ "spanner", "databases", OP_SCHEMA },
	{ "alloydb", "clusters", OP_SCHEMA },
	{ "alloydb", "instances", OP_SCHEMA },
	{ "alloydb", "users", OP_GRANT },
	{ "bigtableadmin", "instances", OP_SCHEMA },
	{ "bigtableadmin", "tables", OP_SCHEMA },
	{ "storage", "b", OP_SCHEMA },
	{ "storage", "acl", OP_GRANT },
	{ "storage", "defaultObjectAcl", OP_GRANT },
	{ "cloudresourcemanager", "projects", OP_SCHEMA },
	{ "cloudresourcemanager", "tagBindings", OP_GRANT },
	{ "orgpolicy", ANY, OP_GRANT },
	{ "compute", "firewalls", OP_NETWORK },
	{ "compute", "routes", OP_NETWORK },
	{ "serviceusage", ANY, OP_ADMIN },
	{ "logging", "sinks", OP_NETWORK },
};

static bool is(const char *want, struct slice s)
{
	return want == ANY || slice_eq_str(s, want);
}

static bool is_version(struct slice s)
{
	return s.len >= 2 && s.ptr[0] == 'v' && s.ptr[1] >= '0' && s.ptr[1] <= '9';
}

static bool reads(const struct cloud_request *q)
{
	return slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD"));
}

static void fill_effects(const struct cloud_request *q, struct cloud *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!is(rows[i].service, c->service) || !is(rows[i].resource, c->resource) ||
		    !is(rows[i].action, c->action))
			continue;
		c->effects = rows[i].effects;
		c->secret = rows[i].secret;
		return;
	}
	c->effects = cloud_verb_effects(c->action);
	if (!c->effects)
		c->effects = OP_READ | OP_WRITE | OP_UNKNOWN;
	/* A word that only reads, by a method that may do more, is the API's own affair to keep. */
	if (c->effects & ~OP_READ)
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (is(kinds[i].service, c->service) && is(kinds[i].resource, c->resource))
				c->effects |= kinds[i].adds;
	if (reads(q) && (c->effects & ~OP_READ))
		c->effects |= OP_UNKNOWN; /* no API of theirs does that */
}

static struct slice method_action(const struct cloud_request *q, bool item)
{
	if (reads(q))
		return item ? SLICE("get") : SLICE("list");
	if (slice_eq(q->method, SLICE("POST")))
		return SLICE("create");
	if (slice_eq(q->method, SLICE("PUT")))
		return SLICE("update");
	if (slice_eq(q->method, SLICE("PATCH")))
		return SLICE("patch");
	return slice_eq(q->method, SLICE("DELETE")) ? SLICE("delete") : SLICE("unknown");
}

/* Splits "name:verb"; only letters make a verb. */
static struct slice take_verb(struct slice *seg)
{
	size_t i = seg->len;
	struct slice verb;

	while (i && ((seg->ptr[i - 1] | 0x20) >= 'a' && (seg->ptr[i - 1] | 0x20) <= 'z'))
		i--;
	if (!i || i == seg->len || seg->ptr[i - 1] != ':')
		return SLICE_NONE;
	verb = slice_from(*seg, i);
	seg->len = i - 1;
	return verb;
}

static bool is_place(struct slice s)
{
	return slice_eq(s, SLICE("locations")) || slice_eq(s, SLICE("regions")) ||
	       slice_eq(s, SLICE("zones"));
}

/* Collections are plural; what is not is something to do. */
static bool is_collection(struct slice s)
{
	return cloud_ends(s, "s") || cloud_ends(s, "acl") || cloud_ends(s, "Acl") ||
	       slice_eq(s, SLICE("o")) || slice_eq(s, SLICE("b"));
}

/* seg: behind the version. */
static int fill_resource(const struct cloud_request *q, struct slice *seg, int n, struct arena *a,
			 struct cloud *c)
{
	struct slice verb = n ? take_verb(&seg[n - 1]) : SLICE_NONE;
	bool item = false, post = slice_eq(q->method, SLICE("POST"));

	for (int i = 0; i < n;) {
		struct slice id = i + 1 < n ? seg[i + 1] : SLICE_NONE;

		if (slice_eq(seg[i], SLICE("global")) || slice_eq(seg[i], SLICE("aggregated"))) {
			i++;
			continue;
		}
		/* "instances/web/stop": a verb, where a collection would stand. */
		if (i + 1 == n && item && !verb.len &&
		    (cloud_verb_effects(seg[i]) || (post && !is_collection(seg[i])))) {
			verb = seg[i];
			if (!c->resource.len && i > 1) {
				c->resource = seg[i - 2];
				c->name = seg[i - 1];
			}
			break;
		}
		if (slice_eq(seg[i], SLICE("projects")) && id.len)
			c->project = id;
		else if (is_place(seg[i]) && id.len)
			c->region = id;
		if (!((is_place(seg[i]) || slice_eq(seg[i], SLICE("projects"))) && i + 2 < n)) {
			c->resource = seg[i];
			c->name = id;
		}
		item = i + 1 < n;
		i += 2;
	}
	if (slice_eq(c->service, SLICE("storage")) && n > 5 &&
	    (slice_eq(seg[4], SLICE("rewriteTo")) || slice_eq(seg[4], SLICE("copyTo")))) {
		c->resource = seg[2];
		c->name = seg[3];
		verb = seg[4];
	}
	/* Objects' names may hold slashes, which come escaped and then look like segments. */
	if (slice_eq(c->service, SLICE("storage")) && n > 4 && slice_eq(seg[0], SLICE("b")) &&
	    slice_eq(seg[2], SLICE("o")) && !slice_eq(c->resource, SLICE("acl")) && !verb.len) {
		c->resource = seg[2];
		if (cloud_join(seg + 3, n - 3, a, &c->name) < 0)
			return -ENOMEM;
		item = true;
	}
	c->action = verb.len ? verb : method_action(q, item);
	if (slice_eq(c->resource, SLICE("iam")) && slice_eq(c->service, SLICE("storage")))
		c->action = reads(q) ? SLICE("getIamPolicy") : SLICE("setIamPolicy");
	return 0;
}

/* "us-central1-aiplatform": the service without its region. */
static struct slice strip_region(struct slice s, struct slice *ret_region)
{
	size_t i = 0, dash;

	while (i < s.len && s.ptr[i] >= 'a' && s.ptr[i] <= 'z')
		i++;
	if (i == s.len || s.ptr[i++] != '-')
		return s;
	while (i < s.len && s.ptr[i] >= 'a' && s.ptr[i] <= 'z')
		i++;
	dash = i;
	while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
		i++;
	if (i == dash || i == s.len || s.ptr[i] != '-')
		return s;
	*ret_region = slice_head(s, i);
	return slice_from(s, i + 1);
}

/* Behind the names under which programs of users run. */
static int runs(const struct cloud_request *q, struct cloud *ret)
{
	struct slice labels[4];
	size_t n = cloud_labels(q->host, labels, ARRAY_SIZE(labels));

	*ret = (struct cloud){ .cloud = "gcp",
			       .by_host = true,
			       .action = SLICE("invoke"),
			       .effects = OP_EXEC | OP_UNKNOWN,
			       .resource = SLICE("services"),
			       .service = SLICE("run") };
	if (cloud_ends(q->host, ".cloudfunctions.net")) {
		ret->service = SLICE("cloudfunctions");
		ret->resource = SLICE("functions");
		ret->project = n ? strip_region(labels[0], &ret->region) : SLICE_NONE;
		ret->name = slice_from(q->path, 1);
	} else {
		ret->name = n ? labels[0] : SLICE_NONE;
	}
	return 1;
}

/* The metadata server hands out the machine's own credentials. */
static int metadata(const struct cloud_request *q, struct cloud *ret)
{
	bool secret = cloud_ends(q->path, "/token") || cloud_ends(q->path, "/identity") ||
		      cloud_query(q, "recursive").ptr;

	*ret = (struct cloud){ .cloud = "gcp",
			       .by_host = true,
			       .service = SLICE("metadata"),
			       .resource = SLICE("metadata"),
			       .name = q->path,
			       .action = reads(q) ? SLICE("get") : SLICE("update"),
			       .effects = (reads(q) ? OP_READ : OP_WRITE) | (secret ? OP_GRANT : 0),
			       .secret = secret };
	return 1;
}

/* bucket.storage.googleapis.com, and the plain host without the JSON API's prefixes. */
static bool is_xml(const struct cloud_request *q, struct slice *ret_bucket)
{
	static const char *const json[] = { "/storage/", "/upload/", "/download/", "/batch/",
					    "/resumable/" };

	*ret_bucket = SLICE_NONE;
	if (cloud_ends(q->host, ".storage.googleapis.com")) {
		*ret_bucket = slice_head(q->host, q->host.len - strlen(".storage.googleapis.com"));
		return true;
	}
	if (!slice_eq(q->host, SLICE("storage.googleapis.com")))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(json); i++)
		if (slice_has_prefix(q->path, slice_str(json[i])))
			return false;
	return true;
}

int cloud_gcp_decode(const struct cloud_request *q, struct arena *a, struct cloud *ret)
{
	static const char *const kinds_of_transfer[] = { "upload", "download", "resumable" };
	struct slice seg[CLOUD_SEGMENTS_MAX], labels[4], bucket, *at = seg;
	size_t n_labels;
	bool batch;
	int n;

	if (cloud_ends(q->host, ".cloudfunctions.net") || cloud_ends(q->host, ".run.app"))
		return runs(q, ret);
	if (slice_eq(q->host, SLICE("metadata.google.internal")) ||
	    (slice_eq(q->host, SLICE("169.254.169.254")) &&
	     slice_has_prefix(q->path, SLICE("/computeMetadata/"))))
		return metadata(q, ret);
	if (!cloud_ends(q->host, ".googleapis.com"))
		return 0;
	*ret = (struct cloud){ .cloud = "gcp", .by_host = true };
	if (is_xml(q, &bucket)) {
		struct slice key = slice_from(q->path, 1);
		ptrdiff_t slash = slice_chr(key, '/');

		if (!bucket.len) {
			bucket = slice_head(key, slash < 0 ? key.len : (size_t)slash);
			key = slice_from(key, bucket.len + 1);
		}
		ret->service = SLICE("storage");
		cloud_s3_fill(q, bucket, key, ret);
		return 1;
	}
	n_labels = cloud_labels(slice_head(q->host, q->host.len - strlen(".googleapis.com")),
				labels, ARRAY_SIZE(labels));
	if (!n_labels)
		return 0;
	n = cloud_segments(q->path, a, seg);
	if (n < 0)
		return n;
	ret->service = strip_region(labels[0], &ret->region);
	if (n_labels == 3 && slice_eq(labels[2], SLICE("rep")))
		ret->region = labels[1];
	batch = n && slice_eq(seg[0], SLICE("batch"));
	while (n && cloud_in(at[0], kinds_of_transfer, ARRAY_SIZE(kinds_of_transfer))) {
		at++;
		n--;
	}
	if (n > 1 && !is_version(at[0]) && is_version(at[1])) {
		if (slice_eq(ret->service, SLICE("www")) ||
		    slice_eq(ret->service, SLICE("content")))
			ret->service = slice_eq(at[0], SLICE("sql")) ? SLICE("sqladmin") : at[0];
		at++;
		n--;
	}
	if (n > 3 && slice_eq(at[0], SLICE("apis"))) { /* Cloud Run's older form */
		at += 2;
		n -= 2;
	}
	if (n && is_version(at[0])) {
		at++;
		n--;
	}
	if (fill_resource(q, at, n, a, ret) < 0)
		return -ENOMEM;
	if (slice_eq(ret->service, SLICE("oauth2")) && !ret->resource.len)
		ret->resource = SLICE("token");
	fill_effects(q, ret);
	if (batch) { /* other calls in its body */
		ret->action = SLICE("batch");
		ret->effects = OP_READ | OP_WRITE | OP_UNKNOWN;
	}
	return 1;
}
