/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request asks of a cloud: Google Cloud, AWS and Kubernetes calls as service, action and
 * resource. Pure functions of a request's facts.
 */
#ifndef WEIR_PROTO_HTTP_CLOUD_H
#define WEIR_PROTO_HTTP_CLOUD_H

#include "base/arena.h"
#include "op.h"

enum { CLOUD_SEGMENTS_MAX = 64 }; /* segments of a path: longer ones are not decoded */

struct cloud_request {
	struct slice method, host, path; /* host lower case without port, path normalised */
	const struct op_query *queries;
	size_t n_queries;
	const struct op_header *headers;
	size_t n_headers;
	const struct op_query *form; /* of the body, when it is a form that could be read */
	size_t n_form;
};

struct cloud {
	const char *cloud; /* "gcp", "aws", "k8s" */
	/* As in the request, empty where it does not say. action: the API's own word where it has one
	 * ("DescribeInstances", "setIamPolicy"), else get, list, create, update, patch, delete, … */
	struct slice service, action, resource, name, subresource, ns, region, project;
	uint32_t effects; /* all that the call can have; OP_UNKNOWN when that is not known */
	bool secret;      /* its answer holds a secret's value or a credential */
	bool by_host;     /* recognised by the host, whose API is known; else by the path's shape */
};

/* False when host and path are surely no cloud's: most are not, and need not pay for the question. */
static inline bool cloud_maybe(struct slice host, struct slice path)
{
	size_t n = host.len;

	/* Their hosts end in .googleapis.com, .amazonaws.com(.cn), .api.aws, .on.aws, .run.app,
	 * .cloudfunctions.net, .internal, or are 169.254.…; Kubernetes' paths begin so. */
	if (path.len > 3 && (memcmp(path.ptr, "/api", 4) == 0 || memcmp(path.ptr, "/ope", 4) == 0))
		return true;
	return n > 7 &&
	       (memcmp(host.ptr + n - 7, "pis.com", 7) == 0 ||
		memcmp(host.ptr + n - 7, "aws.com", 7) == 0 ||
		memcmp(host.ptr + n - 7, ".com.cn", 7) == 0 ||
		memcmp(host.ptr + n - 4, ".aws", 4) == 0 ||
		memcmp(host.ptr + n - 7, "run.app", 7) == 0 ||
		memcmp(host.ptr + n - 7, "ons.net", 7) == 0 ||
		memcmp(host.ptr + n - 7, "nternal", 7) == 0 || memcmp(host.ptr, "169.254", 7) == 0);
}

/* 1 when the request is one of a cloud, 0 when not. Slices of *ret lie in the request, in a, or are
 * static. Negative: -ENOMEM. */
int cloud_decode(const struct cloud_request *q, struct arena *a, struct cloud *ret) __must_check;

/* The clouds: 1, 0 when it is not theirs, -ENOMEM. */
int cloud_gcp_decode(const struct cloud_request *q, struct arena *a,
		     struct cloud *ret) __must_check;
int cloud_aws_decode(const struct cloud_request *q, struct arena *a,
		     struct cloud *ret) __must_check;
int cloud_k8s_decode(const struct cloud_request *q, struct arena *a,
		     struct cloud *ret) __must_check;

/* S3's REST API, which Google's XML API is too. bucket and key may be empty. Fills action, resource,
 * name, effects. */
void cloud_s3_fill(const struct cloud_request *q, struct slice bucket, struct slice key,
		   struct cloud *ret);

/* ---- for their tables ---- */

/* The segments of a path, its escapes decoded where that cannot change a segment's end. Number of
 * them; -EMSGSIZE for more than CLOUD_SEGMENTS_MAX, -ENOMEM. */
int cloud_segments(struct slice path, struct arena *a,
		   struct slice ret[CLOUD_SEGMENTS_MAX]) __must_check;
/* Segments with slashes between them, in a. 0 or -ENOMEM. */
int cloud_join(const struct slice *seg, int n, struct arena *a, struct slice *ret) __must_check;
/* The labels of a host name, from the left, at most max: number of them, 0 when there are more. */
size_t cloud_labels(struct slice host, struct slice *ret, size_t max);
/* The value of a query parameter or header, SLICE_NONE without; a header's name in lower case. */
struct slice cloud_query(const struct cloud_request *q, const char *key);
struct slice cloud_header(const struct cloud_request *q, const char *name);
bool cloud_ends(struct slice s, const char *suffix);
bool cloud_in(struct slice s, const char *const *words, size_t n);

/* Effects of an action by words that it begins with ("Describe", "delete"): the first row that fits,
 * whose next character is upper case or the end. 0 when none does. */
uint32_t cloud_verb_effects(struct slice action);

#endif
