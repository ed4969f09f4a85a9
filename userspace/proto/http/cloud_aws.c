// SPDX-License-Identifier: Apache-2.0
/*
 * AWS: the service by the host, the action by the protocol that the service speaks: Action= in query
 * or form ("query" and "ec2"), X-Amz-Target ("json"), or method and path ("rest"). Smithy's AWS
 * protocol specifications; service endpoints: AWS General Reference.
 */
#include <errno.h>

#include "cloud.h"
#include "text.h"

#define ANY NULL

/* What names alone do not tell. action may end in '*'. The first row that fits counts. */
static const struct {
	const char *service, *action;
	uint32_t effects;
	bool secret;
} rows[] = {
	{ "secretsmanager", "GetSecretValue", OP_READ, true },
	{ "secretsmanager", "BatchGetSecretValue", OP_READ, true },
	{ "secretsmanager", "GetRandomPassword", OP_READ, false },
	{ "ssm", "GetParameter*", OP_READ, true },
	{ "ssm", "SendCommand", OP_EXEC | OP_WRITE, false },
	{ "ssm", "StartSession", OP_EXEC | OP_NETWORK, false },
	{ "ssm", "ResumeSession", OP_EXEC | OP_NETWORK, false },
	{ "ssm", "StartAutomationExecution", OP_EXEC | OP_WRITE | OP_UNKNOWN, false },
	{ "kms", "Decrypt", OP_READ, true },
	{ "kms", "ReEncrypt", OP_READ, false },
	{ "kms", "Encrypt", OP_READ, false },
	{ "kms", "GenerateDataKey*", OP_READ, true },
	{ "kms", "GenerateRandom", OP_READ, false },
	{ "kms", "GenerateMac", OP_READ, false },
	{ "kms", "Sign", OP_GRANT, false },
	{ "kms", "CreateGrant", OP_GRANT, false },
	{ "kms", "RetireGrant", OP_GRANT, false },
	{ "kms", "PutKeyPolicy", OP_GRANT, false },
	{ "kms", "ScheduleKeyDeletion", OP_DELETE, false },
	{ "kms", "DisableKey", OP_WRITE | OP_ADMIN, false },
	{ "iam", "GenerateCredentialReport", OP_READ, false },
	{ "iam", "CreateAccessKey", OP_GRANT, true },
	{ "sts", "GetCallerIdentity", OP_READ, false },
	{ "sts", "GetAccessKeyInfo", OP_READ, false },
	{ "sts", "DecodeAuthorizationMessage", OP_READ, false },
	{ "sts", "*", OP_GRANT, true },
	{ "ec2", "RunInstances", OP_WRITE | OP_EXEC, false },
	{ "ec2", "GetPasswordData", OP_READ, true },
	{ "ec2", "CreateKeyPair", OP_GRANT | OP_WRITE, true },
	{ "ec2", "ImportKeyPair", OP_GRANT | OP_WRITE, false },
	{ "ec2", "ModifySnapshotAttribute", OP_GRANT | OP_WRITE, false },
	{ "ec2", "ModifyImageAttribute", OP_GRANT | OP_WRITE, false },
	{ "ec2", "AssociateIamInstanceProfile", OP_GRANT, false },
	{ "ec2", "ModifyInstanceAttribute", OP_WRITE | OP_EXEC, false },
	{ "ecs", "RunTask", OP_WRITE | OP_EXEC, false },
	{ "ecs", "ExecuteCommand", OP_EXEC | OP_NETWORK, false },
	{ "ecs", "CreateService", OP_WRITE | OP_EXEC, false },
	{ "ecs", "UpdateService", OP_WRITE | OP_EXEC, false },
	{ "rds", "CreateDBInstance", OP_WRITE | OP_SCHEMA, false },
	{ "rds", "CreateDBCluster", OP_WRITE | OP_SCHEMA, false },
	{ "rds", "DeleteDBInstance", OP_DELETE | OP_SCHEMA, false },
	{ "rds", "DeleteDBCluster", OP_DELETE | OP_SCHEMA, false },
	{ "rds", "ModifyDBInstance", OP_WRITE | OP_GRANT, false },
	{ "rds", "ModifyDBSnapshotAttribute", OP_WRITE | OP_GRANT, false },
	{ "dynamodb", "CreateTable", OP_WRITE | OP_SCHEMA, false },
	{ "dynamodb", "UpdateTable", OP_WRITE | OP_SCHEMA, false },
	{ "dynamodb", "DeleteTable", OP_DELETE | OP_SCHEMA, false },
	{ "dynamodb", "ExecuteStatement", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "dynamodb", "BatchExecuteStatement", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "dynamodb", "ExecuteTransaction", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "athena", "StartQueryExecution", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "redshift-data", "ExecuteStatement", OP_READ | OP_WRITE | OP_UNKNOWN, false },
	{ "logs", "StartQuery", OP_READ, false },
	{ "logs", "StartLiveTail", OP_READ, false },
	{ "logs", "PutSubscriptionFilter", OP_WRITE | OP_NETWORK, false },
	{ "sns", "Subscribe", OP_WRITE | OP_NETWORK, false },
	{ "sns", "Unsubscribe", OP_DELETE, false },
	{ "sqs", "CreateQueue", OP_WRITE | OP_SCHEMA, false },
	{ "sqs", "DeleteQueue", OP_DELETE | OP_SCHEMA, false },
	{ "ecr", "GetAuthorizationToken", OP_READ | OP_GRANT, true },
	{ "states", "StartExecution", OP_EXEC, false },
	{ "states", "StartSyncExecution", OP_EXEC, false },
	{ "lambda", "Invoke*", OP_EXEC, false },
	{ ANY, "AddPermission", OP_GRANT, false },
	{ ANY, "RemovePermission", OP_GRANT, false },
	{ ANY, "Put*Policy", OP_GRANT, false },
	{ ANY, "Set*Policy", OP_GRANT, false },
	{ ANY, "Delete*Policy", OP_GRANT, false },
	{ ANY, "SetQueueAttributes", OP_WRITE | OP_GRANT, false },
	{ ANY, "SetTopicAttributes", OP_WRITE | OP_GRANT, false },
};

/* Which member of a form or query names the thing. */
static const char *const name_keys[] = {
	"DBInstanceIdentifier",
	"DBClusterIdentifier",
	"UserName",
	"RoleName",
	"PolicyArn",
	"GroupName",
	"RoleArn",
	"QueueUrl",
	"TopicArn",
	"InstanceId.1",
	"InstanceId",
	"VolumeId",
	"GroupId",
	"StackName",
	"Name",
};

static bool glob(const char *pattern, struct slice s)
{
	const char *star = pattern ? strchr(pattern, '*') : NULL;
	size_t head = star ? (size_t)(star - pattern) : 0;

	if (!star)
		return !pattern || slice_eq_str(s, pattern);
	return s.len >= head + strlen(star + 1) && memcmp(s.ptr, pattern, head) == 0 &&
	       cloud_ends(s, star + 1);
}

static void fill_effects(struct cloud *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!glob(rows[i].service, c->service) || !glob(rows[i].action, c->action))
			continue;
		c->effects = rows[i].effects;
		c->secret = rows[i].secret;
		return;
	}
	c->effects = cloud_verb_effects(c->action);
	if (!c->effects)
		c->effects = OP_READ | OP_WRITE | OP_UNKNOWN;
	if (slice_eq(c->service, SLICE("iam")) && (c->effects & ~OP_READ))
		c->effects |= OP_GRANT;
}

/* ---- where does it go ---- */

struct place {
	struct slice service, region, prefix; /* prefix: what stands before the service */
};

static bool is_region(struct slice s)
{
	size_t dashes = 0;

	for (size_t i = 0; i < s.len; i++)
		dashes += s.ptr[i] == '-';
	return dashes >= 2 && s.ptr[s.len - 1] >= '0' && s.ptr[s.len - 1] <= '9' && s.len <= 20;
}

static void strip_fips(struct slice *s)
{
	if (cloud_ends(*s, "-fips"))
		s->len -= strlen("-fips");
	else if (slice_has_prefix(*s, SLICE("fips.")))
		*s = slice_from(*s, strlen("fips."));
}

/* Labels from the right: [prefix.]service[.dualstack][.region], or the older s3-region. */
static bool place_of(struct slice host, struct place *ret)
{
	static const char *const roots[] = { ".amazonaws.com", ".amazonaws.com.cn", ".api.aws",
					     ".on.aws" };
	struct slice labels[12], rest = SLICE_NONE;
	size_t n, i;

	*ret = (struct place){ 0 };
	for (i = 0; i < ARRAY_SIZE(roots) && !rest.len; i++)
		if (cloud_ends(host, roots[i]))
			rest = slice_head(host, host.len - strlen(roots[i]));
	n = rest.len ? cloud_labels(rest, labels, ARRAY_SIZE(labels)) : 0;
	if (!n)
		return false;
	if (n > 1 && is_region(labels[n - 1]))
		ret->region = labels[--n];
	if (n > 1 && slice_eq(labels[n - 1], SLICE("dualstack")))
		n--;
	ret->service = labels[n - 1];
	if (slice_has_prefix(ret->service, SLICE("s3-")) && !ret->region.len) {
		struct slice tail = slice_from(ret->service, 3);

		if (is_region(tail))
			ret->region = tail;
		ret->service = SLICE("s3");
	}
	if (n > 1)
		ret->prefix = slice_of(labels[0].ptr, (size_t)(labels[n - 2].ptr - labels[0].ptr) +
							      labels[n - 2].len);
	strip_fips(&ret->service);
	if (slice_eq(ret->service, SLICE("email")))
		ret->service = SLICE("ses");
	else if (slice_eq(ret->service, SLICE("monitoring")))
		ret->service = SLICE("cloudwatch");
	/* "api.ecr", "runtime.sagemaker", "data.iot" are one service's several hosts. */
	return true;
}

/* ---- which action ---- */

static int from_action(const struct cloud_request *q, struct cloud *c)
{
	bool twice = false;
	const struct op_query *pairs = q->queries;
	size_t n = q->n_queries;
	struct slice in_query, in_form;

	for (size_t i = 0; i < q->n_queries; i++) /* servers fold neither case nor spelling */
		if (slice_ieq(q->queries[i].key, SLICE("Action")) &&
		    !slice_eq(q->queries[i].key, SLICE("Action")))
			twice = true;
	in_query = http_pairs_get(q->queries, q->n_queries, "Action", &twice);
	in_form = http_pairs_get(q->form, q->n_form, "Action", &twice);
	if (in_query.ptr && in_form.ptr)
		twice = true;
	c->action = in_form.ptr ? in_form : in_query;
	if (!c->action.len)
		return 0;
	if (in_form.ptr) {
		pairs = q->form;
		n = q->n_form;
	}
	for (size_t k = 0; k < ARRAY_SIZE(name_keys) && !c->name.len; k++)
		for (size_t i = 0; i < n && !c->name.len; i++)
			if (slice_eq_str(pairs[i].key, name_keys[k]))
				c->name = pairs[i].value;
	fill_effects(c);
	if (twice)
		c->effects |= OP_UNKNOWN;
	return 1;
}

/* "DynamoDB_20120810.GetItem", "secretsmanager.GetSecretValue", "Logs_20140328.PutLogEvents" */
static int from_target(const struct cloud_request *q, struct cloud *c)
{
	struct slice t = SLICE_NONE;
	unsigned n = 0;
	size_t dot = 0;

	for (size_t i = 0; i < q->n_headers; i++) {
		if (!slice_eq(q->headers[i].name, SLICE("x-amz-target")))
			continue;
		t = q->headers[i].value;
		n++;
	}
	for (size_t i = 0; i < t.len; i++)
		if (t.ptr[i] == '.')
			dot = i + 1;
	if (!dot || dot == t.len)
		return 0;
	c->action = slice_from(t, dot);
	fill_effects(c);
	if (n > 1)
		c->effects |= OP_UNKNOWN;
	return 1;
}

/* Lambda's REST API, and how functions are run by it. */
static const struct {
	const char *method, *sub, *action;
	bool named;
	uint32_t effects;
} lambda[] = {
	{ "POST", "invocations", "Invoke", true, OP_EXEC },
	{ "POST", "invoke-async", "InvokeAsync", true, OP_EXEC },
	{ "POST", "response-streaming-invocations", "InvokeWithResponseStream", true, OP_EXEC },
	{ "PUT", "code", "UpdateFunctionCode", true, OP_WRITE | OP_EXEC },
	{ "GET", "configuration", "GetFunctionConfiguration", true, OP_READ },
	{ "PUT", "configuration", "UpdateFunctionConfiguration", true, OP_WRITE | OP_EXEC },
	{ "GET", "policy", "GetPolicy", true, OP_READ },
	{ "POST", "policy", "AddPermission", true, OP_GRANT },
	{ "DELETE", "policy", "RemovePermission", true, OP_GRANT },
	{ "POST", "versions", "PublishVersion", true, OP_WRITE },
	{ "POST", "aliases", "CreateAlias", true, OP_WRITE },
	{ "POST", "url", "CreateFunctionUrlConfig", true, OP_WRITE | OP_GRANT },
	{ "PUT", "concurrency", "PutFunctionConcurrency", true, OP_WRITE },
	{ "GET", NULL, "GetFunction", true, OP_READ },
	{ "DELETE", NULL, "DeleteFunction", true, OP_DELETE },
	{ "GET", NULL, "ListFunctions", false, OP_READ },
	{ "POST", NULL, "CreateFunction", false, OP_WRITE | OP_EXEC },
};

static bool is_date(struct slice s)
{
	return s.len == 10 && s.ptr[4] == '-' && s.ptr[7] == '-';
}

static void from_lambda(const struct cloud_request *q, struct slice *seg, int n, struct cloud *c)
{
	struct slice sub = n > 2 ? seg[2] : SLICE_NONE;

	if (n < 1 || !slice_eq(seg[0], SLICE("functions")))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(lambda); i++) {
		if (!slice_eq_str(q->method, lambda[i].method) || lambda[i].named != (n > 1) ||
		    !slice_eq(sub, slice_str(lambda[i].sub)))
			continue;
		c->action = slice_str(lambda[i].action);
		c->effects = lambda[i].effects;
		return;
	}
}

static void from_rest(const struct cloud_request *q, struct slice *seg, int n, struct cloud *c)
{
	bool reads = slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD"));

	while (n && (is_date(seg[0]) || slice_eq(seg[0], SLICE("v1")) ||
		     slice_eq(seg[0], SLICE("v2")))) {
		seg++;
		n--;
	}
	for (int i = 0; i + 1 < n; i += 2)
		c->name = seg[i + 1];
	if (n & 1 && n > 1)
		c->subresource = seg[n - 1];
	if (n)
		c->resource = seg[n == 1 ? 0 : (n - 2) & ~1];
	c->action = reads                                  ? SLICE("get")
		    : slice_eq(q->method, SLICE("DELETE")) ? SLICE("delete")
		    : slice_eq(q->method, SLICE("PUT"))    ? SLICE("put")
		    : slice_eq(q->method, SLICE("PATCH"))  ? SLICE("patch")
							   : SLICE("post");
	c->effects = reads ? OP_READ : OP_READ | OP_WRITE | OP_UNKNOWN;
	if (slice_eq(q->method, SLICE("DELETE")))
		c->effects = OP_DELETE | OP_UNKNOWN; /* of a policy, it may be */
	if (slice_eq(c->service, SLICE("lambda")))
		from_lambda(q, seg, n, c);
}

/* The instance's own credentials. */
static int metadata(const struct cloud_request *q, struct cloud *ret)
{
	bool reads = slice_eq(q->method, SLICE("GET")) || slice_eq(q->method, SLICE("HEAD"));
	bool secret =
		slice_has_prefix(q->path, SLICE("/latest/meta-data/iam/security-credentials/")) ||
		slice_has_prefix(q->path, SLICE("/v2/credentials/"));

	*ret = (struct cloud){ .cloud = "aws",
			       .by_host = true,
			       .service = SLICE("metadata"),
			       .resource = SLICE("metadata"),
			       .name = q->path,
			       .action = reads ? SLICE("get") : SLICE("put"),
			       .effects = (reads ? OP_READ : OP_WRITE) | (secret ? OP_GRANT : 0),
			       .secret = secret };
	return 1;
}

int cloud_aws_decode(const struct cloud_request *q, struct arena *a, struct cloud *ret)
{
	struct slice seg[CLOUD_SEGMENTS_MAX];
	struct place p;
	int n;

	if (slice_eq(q->host, SLICE("169.254.169.254")) ||
	    slice_eq(q->host, SLICE("169.254.170.2")))
		return metadata(q, ret);
	if (!place_of(q->host, &p))
		return 0;
	*ret = (struct cloud){
		.cloud = "aws", .by_host = true, .service = p.service, .region = p.region
	};
	if (slice_eq(p.service, SLICE("lambda-url")) || slice_eq(p.service, SLICE("execute-api"))) {
		ret->action = SLICE("Invoke");
		ret->resource = SLICE("functions");
		ret->name = p.prefix;
		ret->effects = OP_EXEC | OP_UNKNOWN;
		return 1;
	}
	if (slice_eq(p.service, SLICE("s3"))) {
		struct slice key = slice_from(q->path, 1), bucket = p.prefix;
		ptrdiff_t slash = slice_chr(key, '/');

		if (!bucket.len) {
			bucket = slice_head(key, slash < 0 ? key.len : (size_t)slash);
			key = slice_from(key, bucket.len + 1);
		}
		cloud_s3_fill(q, bucket, key, ret);
		return 1;
	}
	if (from_target(q, ret) || from_action(q, ret))
		return 1;
	n = cloud_segments(q->path, a, seg);
	if (n < 0)
		return n;
	from_rest(q, seg, n, ret);
	return 1;
}
