// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "cli.h"
#include "policy_cmds.h"
#include "policy_files.h"
#include "proto.h"
#include "proto/http/http.h"
#include "proto/pg/sql.h"

static const struct policy_target *target_find(const struct policy *p, const char *name,
					       const char *protocol)
{
	const struct policy_target *t;

	for (size_t i = 0; (t = policy_target_at(p, i)); i++)
		if (name ? strcmp(t->name, name) == 0
			 : !t->protocol || strcmp(t->protocol, protocol) == 0)
			return t;
	return NULL;
}

static void facts_print(const struct op *op)
{
	char text[1024];

	printf("  verb     %s\n", log_escape(op->verb, text, sizeof(text)));
	printf("  effects  %s\n", op_effects_format(op->effects, text, sizeof(text)));
	for (size_t i = 0; i < op->n_objects; i++) {
		const struct op_object *o = &op->objects[i];
		char access[128];

		printf("  object   %s:%s %s\n", o->kind, log_escape(o->name, text, sizeof(text)),
		       op_effects_format(o->access, access, sizeof(access)));
	}
	for (size_t i = 0; i < op->n_attrs; i++) {
		const struct op_attr *a = &op->attrs[i];

		if (a->type == OP_ATTR_BOOL)
			printf("  attr     %s=%s\n", a->key, a->b ? "true" : "false");
		else if (a->type == OP_ATTR_INT)
			printf("  attr     %s=%lld\n", a->key, (long long)a->i);
		else
			printf("  attr     %s=%s\n", a->key, log_escape(a->s, text, sizeof(text)));
	}
}

/* Whether it is allowed. */
static bool op_explain(const struct policy *p, const struct policy_target *t, const struct op *op)
{
	struct verdict v;

	printf("operation  %s\n", op->protocol);
	facts_print(op);
	for (size_t i = 0; i < policy_rule_count(p); i++)
		if (policy_rule_matches(p, i, t, NULL, op, &v))
			printf("  rule     %s (%s)\n", v.rule, verdict_names[v.kind]);
	policy_decide(p, t, NULL, op, NULL, 0, &v);
	printf("verdict    %s by %s%s%s\n", verdict_names[v.kind], v.rule, v.message ? ": " : "",
	       v.message ? v.message : "");
	return v.kind == VERDICT_ALLOW;
}

static int target_missing(const struct policy *p, const char *name, const char *protocol)
{
	if (name)
		return cli_fail(CLI_NO, "policy %s has no target %s", policy_name(p), name);
	return cli_fail(CLI_NO, "no target of policy %s speaks %s: the connection is refused",
			policy_name(p), protocol);
}

static int policy_explain_sql(const struct policy *p, const char *target, const char *sql)
{
	static const struct pg_sql_mode mode = { false, false };
	const struct policy_target *t = target_find(p, target, "postgres");
	const struct pg_facts *facts;
	struct pg_sql *parser;
	bool allowed = true;

	if (!t)
		return target_missing(p, target, "postgres");
	if (pg_sql_new(1, 1024 * 1024, &parser) < 0)
		return cli_fail(CLI_NO, "explaining: %s", strerror(ENOMEM));
	if (pg_sql_facts(parser, slice_str(sql), &mode, &facts) < 0) {
		(void)pg_sql_free(parser); /* returns NULL */
		return cli_fail(CLI_NO, "explaining: %s", strerror(ENOMEM));
	}
	printf("target     %s\n", t->name);
	for (size_t i = 0; i < facts->n_stmts; i++) {
		const struct pg_stmt *s = &facts->stmts[i];
		struct op op = { .protocol = "postgres",
				 .verb = slice_str(s->verb),
				 .effects = s->effects,
				 .objects = s->objects,
				 .n_objects = s->n_objects,
				 .attrs = s->attrs,
				 .n_attrs = s->n_attrs };

		allowed = op_explain(p, t, &op) && allowed;
	}
	pg_facts_unref(facts);
	(void)pg_sql_free(parser); /* returns NULL */
	return allowed ? CLI_OK : CLI_NO;
}

/* "DELETE http://host/v1/users/4" as the bytes that a client would send. */
static int request_build(const char *request, struct buf *ret)
{
	struct slice text = slice_str(request), method, url, host, path;
	ptrdiff_t space = slice_chr(text, ' ');
	const struct slice scheme = SLICE("http://"), secure = SLICE("https://");

	if (space <= 0)
		return -EINVAL;
	method = slice_head(text, (size_t)space);
	url = slice_trim(slice_from(text, (size_t)space));
	if (slice_has_prefix(url, scheme))
		url = slice_from(url, scheme.len);
	else if (slice_has_prefix(url, secure))
		url = slice_from(url, secure.len);
	else
		return -EINVAL;
	host = slice_head(url, slice_chr(url, '/') < 0 ? url.len : (size_t)slice_chr(url, '/'));
	path = slice_from(url, host.len);
	if (host.len == 0)
		return -EINVAL;
	return buf_printf(ret, "%.*s %.*s HTTP/1.1\r\nHost: %.*s\r\n\r\n", SLICE_FMT(method),
			  SLICE_FMT(path.len ? path : SLICE("/")), SLICE_FMT(host));
}

/* What the handler makes of it: -EBADMSG and the like with *reterr, 1 allowed, 0 not. */
static int request_judge(const struct policy *p, const struct policy_target *t, struct slice bytes,
			 struct parse_err *reterr)
{
	const struct proto_limits limits = PROTO_LIMITS_DEFAULT;
	PROTO_CLEANUP struct proto *h = NULL;
	struct proto_event e;
	size_t used;
	int r;

	r = proto_http.create(&limits, NULL, &h);
	if (r < 0)
		return r;
	r = proto_http.feed(h, DIR_TO_SERVER, bytes, &used, reterr);
	if (r < 0)
		return r;
	while (proto_http.next(h, &e) == 1)
		if (e.type == PROTO_OP)
			return op_explain(p, t, e.op);
	return -EBADMSG;
}

static int policy_explain_http(const struct policy *p, const char *target, const char *request)
{
	const struct policy_target *t = target_find(p, target, "http");
	struct parse_err err = { .rule = "not a request" };
	struct buf bytes;
	int r;

	if (!t)
		return target_missing(p, target, "http");
	buf_init(&bytes, 64 * 1024);
	r = request_build(request, &bytes);
	if (r < 0) {
		buf_done(&bytes);
		return cli_fail(CLI_USAGE, "expected 'METHOD http://HOST/PATH', not '%s'", request);
	}
	printf("target     %s\n", t->name);
	r = request_judge(p, t, buf_peek(&bytes), &err);
	buf_done(&bytes);
	if (r == -ENOMEM)
		return cli_fail(CLI_NO, "explaining: %s", strerror(ENOMEM));
	if (r < 0) {
		printf("verdict    block: malformed request: %s\n", err.rule);
		return CLI_NO;
	}
	return r ? CLI_OK : CLI_NO;
}

int policy_explain_run(const struct cli_command *cmd, int argc, char **argv)
{
	static const struct option options[] = { { "sql", required_argument, NULL, 's' },
						 { "http", required_argument, NULL, 'w' },
						 { "target", required_argument, NULL, 't' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	_cleanup_(policy_files_done) struct policy_files sources = { 0 };
	const char *sql = NULL, *http = NULL, *target = NULL;
	struct policy_source source;
	struct policy_set *set;
	struct policy_err err;
	int c, r, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 's': sql = optarg; break;
		case 'w': http = optarg; break;
		case 't': target = optarg; break;
		case 'h': return cli_help(cmd);
		default: return CLI_USAGE; /* getopt has said why */
		}
	}
	if (optind + 1 != argc || !sql == !http)
		return cli_usage(cmd, "explain takes one FILE and either --sql or --http");
	r = policy_files_add(&sources, argv[optind]);
	if (r < 0)
		return cli_fail(CLI_NO, "%s: %s", argv[optind], strerror(-r));
	source = (struct policy_source){ argv[optind], buf_peek(&sources.at[0].text) };
	r = policy_set_compile(&source, 1, &set, &err);
	if (r == -ENOMEM)
		return cli_fail(CLI_NO, "%s: %s", argv[optind], strerror(ENOMEM));
	if (r < 0) {
		policy_error_print(&err, false);
		return CLI_NO;
	}
	status = sql ? policy_explain_sql(policy_set_at(set, 0), target, sql)
		     : policy_explain_http(policy_set_at(set, 0), target, http);
	(void)policy_set_unref(set); /* returns NULL */
	return status;
}

