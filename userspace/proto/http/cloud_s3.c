// SPDX-License-Identifier: Apache-2.0
/* S3's REST API: Amazon S3 API Reference. Method, and the subresource in the query. */
#include "cloud.h"

/* The first row whose subresource is in the query and whose method fits counts; a row without a
 * subresource is the plain call. What is object: 1 with a key, 0 without. */
static const struct {
	const char *sub, *method;
	int object;
	const char *action;
	uint32_t effects;
} rows[] = {
	{ "delete", "POST", 0, "DeleteObjects", OP_DELETE },
	{ "policy", "GET", 0, "GetBucketPolicy", OP_READ },
	{ "policy", "PUT", 0, "PutBucketPolicy", OP_GRANT },
	{ "policy", "DELETE", 0, "DeleteBucketPolicy", OP_GRANT },
	{ "policyStatus", "GET", 0, "GetBucketPolicyStatus", OP_READ },
	{ "acl", "GET", 0, "GetBucketAcl", OP_READ },
	{ "acl", "PUT", 0, "PutBucketAcl", OP_GRANT },
	{ "acl", "GET", 1, "GetObjectAcl", OP_READ },
	{ "acl", "PUT", 1, "PutObjectAcl", OP_GRANT },
	{ "publicAccessBlock", "GET", 0, "GetPublicAccessBlock", OP_READ },
	{ "publicAccessBlock", "PUT", 0, "PutPublicAccessBlock", OP_GRANT },
	{ "publicAccessBlock", "DELETE", 0, "DeletePublicAccessBlock", OP_GRANT },
	{ "ownershipControls", "PUT", 0, "PutBucketOwnershipControls", OP_GRANT },
	{ "ownershipControls", "DELETE", 0, "DeleteBucketOwnershipControls", OP_GRANT },
	{ "cors", "PUT", 0, "PutBucketCors", OP_GRANT },
	{ "cors", "DELETE", 0, "DeleteBucketCors", OP_GRANT },
	{ "website", "PUT", 0, "PutBucketWebsite", OP_WRITE | OP_GRANT },
	{ "replication", "PUT", 0, "PutBucketReplication", OP_WRITE | OP_NETWORK },
	{ "notification", "PUT", 0, "PutBucketNotificationConfiguration", OP_WRITE | OP_NETWORK },
	{ "lifecycle", "PUT", 0, "PutBucketLifecycleConfiguration", OP_WRITE | OP_DELETE },
	{ "lifecycle", "DELETE", 0, "DeleteBucketLifecycle", OP_WRITE },
	{ "versioning", "PUT", 0, "PutBucketVersioning", OP_WRITE | OP_ADMIN },
	{ "encryption", "PUT", 0, "PutBucketEncryption", OP_WRITE | OP_ADMIN },
	{ "encryption", "DELETE", 0, "DeleteBucketEncryption", OP_WRITE | OP_ADMIN },
	{ "logging", "PUT", 0, "PutBucketLogging", OP_WRITE | OP_ADMIN },
	{ "tagging", "PUT", 0, "PutBucketTagging", OP_WRITE },
	{ "tagging", "DELETE", 0, "DeleteBucketTagging", OP_DELETE },
	{ "tagging", "PUT", 1, "PutObjectTagging", OP_WRITE },
	{ "tagging", "DELETE", 1, "DeleteObjectTagging", OP_DELETE },
	{ "retention", "PUT", 1, "PutObjectRetention", OP_WRITE | OP_ADMIN },
	{ "legal-hold", "PUT", 1, "PutObjectLegalHold", OP_WRITE | OP_ADMIN },
	{ "restore", "POST", 1, "RestoreObject", OP_WRITE },
	{ "select", "POST", 1, "SelectObjectContent", OP_READ },
	{ "uploads", "GET", 0, "ListMultipartUploads", OP_READ },
	{ "uploads", "POST", 1, "CreateMultipartUpload", OP_WRITE },
	{ "uploadId", "PUT", 1, "UploadPart", OP_WRITE },
	{ "uploadId", "POST", 1, "CompleteMultipartUpload", OP_WRITE },
	{ "uploadId", "DELETE", 1, "AbortMultipartUpload", OP_DELETE },
	{ "uploadId", "GET", 1, "ListParts", OP_READ },
	{ "versions", "GET", 0, "ListObjectVersions", OP_READ },
	{ "location", "GET", 0, "GetBucketLocation", OP_READ },
	{ "list-type", "GET", 0, "ListObjectsV2", OP_READ },
	{ NULL, "GET", 0, "ListObjects", OP_READ },
	{ NULL, "HEAD", 0, "HeadBucket", OP_READ },
	{ NULL, "PUT", 0, "CreateBucket", OP_WRITE | OP_SCHEMA },
	{ NULL, "DELETE", 0, "DeleteBucket", OP_DELETE | OP_SCHEMA },
	{ NULL, "POST", 0, "PostObject", OP_WRITE },
	{ NULL, "GET", 1, "GetObject", OP_READ },
	{ NULL, "HEAD", 1, "HeadObject", OP_READ },
	{ NULL, "PUT", 1, "PutObject", OP_WRITE },
	{ NULL, "DELETE", 1, "DeleteObject", OP_DELETE },
};

/* Parameters that name no subresource. Any other that has no value makes the call unknown. */
static const char *const plain[] = {
	"versionId",
	"partNumber",
	"prefix",
	"delimiter",
	"marker",
	"max-keys",
	"encoding-type",
	"start-after",
	"continuation-token",
	"fetch-owner",
	"x-id",
	"list-type",
	"key-marker",
	"version-id-marker",
	"upload-id-marker",
	"max-uploads",
	"max-parts",
	"part-number-marker",
	"uploadId",
	"response-content-type",
	"response-content-disposition",
	"response-cache-control",
	"response-content-encoding",
	"response-expires",
	"response-content-language",
};

static bool known_parameter(struct slice key)
{
	return cloud_in(key, plain, ARRAY_SIZE(plain)) ||
	       slice_ieq(slice_head(key, 6), SLICE("X-Amz-")) ||
	       slice_ieq(slice_head(key, 7), SLICE("X-Goog-"));
}

void cloud_s3_fill(const struct cloud_request *q, struct slice bucket, struct slice key,
		   struct cloud *c)
{
	bool object = key.len > 0, grants = false, sub = false;

	c->resource = object ? SLICE("object") : SLICE("bucket");
	c->name = object ? key : bucket;
	c->ns = bucket;
	c->action = SLICE("unknown");
	c->effects = OP_READ | OP_WRITE | OP_UNKNOWN;
	for (size_t i = 0; i < q->n_queries; i++)
		sub |= !known_parameter(q->queries[i].key);
	for (size_t i = 0; i < q->n_headers; i++)
		grants |= slice_has_prefix(q->headers[i].name, SLICE("x-amz-grant-")) ||
			  slice_eq(q->headers[i].name, SLICE("x-amz-acl")) ||
			  slice_eq(q->headers[i].name, SLICE("x-goog-acl"));
	if (!bucket.len) {
		c->resource = SLICE("service");
		if (slice_eq(q->method, SLICE("GET"))) {
			c->action = SLICE("ListBuckets");
			c->effects = OP_READ;
		}
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].object != object || !slice_eq_str(q->method, rows[i].method) ||
		    (rows[i].sub ? !cloud_query(q, rows[i].sub).ptr : sub))
			continue;
		c->action = slice_str(rows[i].action);
		c->effects = rows[i].effects;
		break;
	}
	/* Subresources that only read need no row. */
	if (slice_eq(c->action, SLICE("unknown")) &&
	    (slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD")))) {
		c->action = object ? SLICE("GetObjectSubresource") : SLICE("GetBucketSubresource");
		c->effects = OP_READ;
	}
	if (slice_eq(c->action, SLICE("PutObject")) &&
	    (cloud_header(q, "x-amz-copy-source").ptr ||
	     cloud_header(q, "x-goog-copy-source").ptr)) {
		c->action = SLICE("CopyObject");
		c->effects |= OP_READ;
	}
	if (slice_eq(c->action, SLICE("UploadPart")) && cloud_header(q, "x-amz-copy-source").ptr) {
		c->action = SLICE("UploadPartCopy");
		c->effects |= OP_READ;
	}
	if (grants && (c->effects & ~OP_READ))
		c->effects |= OP_GRANT;
}
