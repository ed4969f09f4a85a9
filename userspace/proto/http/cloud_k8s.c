// SPDX-License-Identifier: Apache-2.0
/*
 * The Kubernetes API by the shape of its paths, since a cluster's host can have any name: Kubernetes
 * documentation, "API concepts" and "Authorization overview" (verbs). Only groups and core resources
 * whose names are unmistakable count, since /api/v1 is many a server's.
 */
#include <errno.h>

#include "cloud.h"

static const char *const core[] = {
	"bindings",
	"componentstatuses",
	"configmaps",
	"endpoints",
	"events",
	"limitranges",
	"namespaces",
	"nodes",
	"persistentvolumeclaims",
	"persistentvolumes",
	"pods",
	"podtemplates",
	"replicationcontrollers",
	"resourcequotas",
	"secrets",
	"serviceaccounts",
	"services",
};

static const char *const plain_groups[] = { "apps", "autoscaling", "batch", "extensions",
					    "policy" };

/* Who may do what, and who one is. */
static const char *const rights[] = {
	"roles",
	"clusterroles",
	"rolebindings",
	"clusterrolebindings",
	"certificatesigningrequests",
	"serviceaccounts",
	"podsecuritypolicies",
	"mutatingwebhookconfigurations",
	"validatingwebhookconfigurations",
};

/* What starts containers. */
static const char *const workloads[] = {
	"pods",        "podtemplates", "replicationcontrollers",
	"deployments", "replicasets",  "statefulsets",
	"daemonsets",  "jobs",         "cronjobs",
};

/* "v1", "v2beta1" */
static bool is_version(struct slice s)
{
	size_t i = 1;

	if (s.len < 2 || s.ptr[0] != 'v' || s.ptr[1] < '0' || s.ptr[1] > '9')
		return false;
	while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
		i++;
	return i == s.len || slice_has_prefix(slice_from(s, i), SLICE("alpha")) ||
	       slice_has_prefix(slice_from(s, i), SLICE("beta"));
}

static bool is_true(struct slice s)
{
	return slice_eq(s, SLICE("1")) || slice_ieq(s, SLICE("true")) || slice_ieq(s, SLICE("t"));
}

static struct slice verb_of(const struct cloud_request *q, const struct cloud *c)
{
	bool watch = is_true(cloud_query(q, "watch"));

	if (slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD")))
		return watch ? SLICE("watch") : c->name.len ? SLICE("get") : SLICE("list");
	if (slice_eq(q->method, SLICE("POST")))
		return SLICE("create");
	if (slice_eq(q->method, SLICE("PUT")))
		return SLICE("update");
	if (slice_eq(q->method, SLICE("PATCH")))
		return SLICE("patch");
	if (slice_eq(q->method, SLICE("DELETE")))
		return c->name.len ? SLICE("delete") : SLICE("deletecollection");
	return SLICE("unknown");
}

static uint32_t effects_of(const struct cloud *c)
{
	bool reads = slice_eq(c->action, SLICE("get")) || slice_eq(c->action, SLICE("list")) ||
		     slice_eq(c->action, SLICE("watch"));
	uint32_t e = reads ? OP_READ : OP_WRITE;

	if (slice_eq(c->subresource, SLICE("exec")) || slice_eq(c->subresource, SLICE("attach")) ||
	    slice_eq(c->subresource, SLICE("ephemeralcontainers")))
		return reads || slice_eq(c->action, SLICE("create"))
			       ? OP_EXEC | OP_READ | OP_WRITE | OP_NETWORK
			       : OP_EXEC | OP_READ | OP_WRITE;
	if (slice_eq(c->subresource, SLICE("portforward")))
		return OP_NETWORK | OP_READ | OP_WRITE;
	if (slice_eq(c->subresource, SLICE("proxy")))
		return OP_NETWORK | OP_UNKNOWN;
	if (slice_eq(c->subresource, SLICE("eviction")))
		return OP_DELETE;
	if (slice_eq(c->subresource, SLICE("token")))
		return OP_GRANT;
	if (slice_eq(c->action, SLICE("unknown")))
		return OP_UNKNOWN;
	if (slice_has_prefix(c->action, SLICE("delete")))
		e = OP_DELETE;
	if (!reads && cloud_in(c->resource, rights, ARRAY_SIZE(rights)))
		e |= OP_GRANT;
	if (e == OP_WRITE && cloud_in(c->resource, workloads, ARRAY_SIZE(workloads)) &&
	    !slice_eq(c->subresource, SLICE("status")))
		e |= OP_EXEC;
	if (slice_eq(c->resource, SLICE("customresourcedefinitions")) && !reads)
		e |= OP_SCHEMA;
	return e;
}

/* seg: behind /api/v1 or /apis/GROUP/VERSION. */
static bool resource_of(const struct slice *seg, int n, struct cloud *c)
{
	bool watch = n && slice_eq(seg[0], SLICE("watch"));

	if (watch) { /* the old form */
		seg++;
		n--;
	}
	/* namespaces/NS/status and namespaces/NS/finalize are of the namespace itself */
	if (n >= 3 && slice_eq(seg[0], SLICE("namespaces")) &&
	    !(n == 3 &&
	      (slice_eq(seg[2], SLICE("status")) || slice_eq(seg[2], SLICE("finalize"))))) {
		c->ns = seg[1];
		seg += 2;
		n -= 2;
	}
	if (!n)
		return false;
	c->resource = seg[0];
	if (n > 1)
		c->name = seg[1];
	if (n > 2)
		c->subresource = seg[2];
	if (watch)
		c->action = SLICE("watch");
	return true;
}

/* Paths that are no resource: discovery. */
static int discovery(const struct cloud_request *q, struct cloud *ret)
{
	bool reads = slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD"));

	*ret = (struct cloud){ .cloud = "k8s",
			       .resource = SLICE("nonresource"),
			       .name = q->path,
			       .action = reads ? SLICE("get") : SLICE("unknown"),
			       .effects = reads ? OP_READ : OP_UNKNOWN };
	return 1;
}

int cloud_k8s_decode(const struct cloud_request *q, struct arena *a, struct cloud *ret)
{
	struct slice seg[CLOUD_SEGMENTS_MAX];
	int n, at;

	/* Most paths are of nobody's. */
	if (!slice_has_prefix(q->path, SLICE("/api")) &&
	    !slice_has_prefix(q->path, SLICE("/openapi/v")))
		return 0;
	n = cloud_segments(q->path, a, seg);
	if (n < 0)
		return n;
	*ret = (struct cloud){ .cloud = "k8s" };
	if (slice_eq(seg[0], SLICE("openapi")))
		return n >= 2 && (slice_eq(seg[1], SLICE("v2")) || slice_eq(seg[1], SLICE("v3")))
			       ? discovery(q, ret)
			       : 0;
	if (slice_eq(seg[0], SLICE("api"))) {
		at = 2;
		if (n < 3 || !slice_eq(seg[1], SLICE("v1")) ||
		    !(cloud_in(seg[2], core, ARRAY_SIZE(core)) || slice_eq(seg[2], SLICE("watch"))))
			return 0;
		if (slice_eq(seg[2], SLICE("watch")) &&
		    (n < 4 || !cloud_in(seg[3], core, ARRAY_SIZE(core))))
			return 0;
		ret->service = SLICE("core");
	} else if (slice_eq(seg[0], SLICE("apis"))) {
		if (n == 1)
			return discovery(q, ret);
		if (slice_chr(seg[1], '.') < 0 &&
		    !cloud_in(seg[1], plain_groups, ARRAY_SIZE(plain_groups)))
			return 0;
		if (n == 2 || (n == 3 && is_version(seg[2])))
			return discovery(q, ret);
		if (!is_version(seg[2]))
			return 0;
		at = 3;
		ret->service = seg[1];
	} else {
		return 0;
	}
	if (!resource_of(seg + at, n - at, ret))
		return 0;
	if (!ret->action.len)
		ret->action = verb_of(q, ret);
	ret->effects = effects_of(ret);
	/* Acting as somebody else is a right of its own. */
	if (cloud_header(q, "impersonate-user").ptr || cloud_header(q, "impersonate-group").ptr ||
	    cloud_header(q, "impersonate-uid").ptr)
		ret->effects |= OP_GRANT;
	ret->secret = (slice_eq(ret->resource, SLICE("secrets")) && (ret->effects & OP_READ)) ||
		      slice_eq(ret->subresource, SLICE("token"));
	return 1;
}
