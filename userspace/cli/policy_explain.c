// SPDX-License-Identifier: Apache-2.0
/* `weir policy explain`: what Weir sees in an operation, and what each rule makes of it. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/log.h"
#include "filter.h"
#include "output.h"
#include "policy_cmds.h"
#include "policy_files.h"
#include "policy_ops.h"
#include "policy_why.h"

enum {
	OPT_SQL = 256,
	OPT_HTTP,
	OPT_PARAMS,
	OPT_TARGET,
	OPT_CGROUP,
	OPT_CONTAINER,
	OPT_IMAGE,
	OPT_EXE,
	OPT_UID,
	OPT_LABEL,
	OPT_JSON,
	REASONS_MAX = 200, /* each costs compiling a rule; the rest is counted */
};

struct explain {
	const char *sql, *http, *params, *target;
	bool json, agent; /* agent: somebody is described */
	struct identity who;
	struct identity_label labels[IDENTITY_LABELS_MAX];
	const struct policy *policy;
	struct policy_why *why;
};

/* ---- facts ---------------------------------------------------------------------------------- */

static json_t *attr_json(const struct op_attr *a)
{
	return a->type == OP_ATTR_BOOL  ? json_boolean(a->b)
	       : a->type == OP_ATTR_INT ? json_integer(a->i)
					: out_json_text(a->s);
}

static json_t *effects_json(uint32_t effects)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < OP_EFFECT_COUNT; i++)
		if (effects >> i & 1)
			(void)json_array_append_new(list, json_string(op_effect_names[i]));
	return list;
}

static json_t *facts_json(const struct op *op)
{
	json_t *objects = json_array(), *attrs = json_object(), *params = json_array();
	json_t *headers = json_array(), *query = json_array(), *o;

	for (size_t i = 0; i < op->n_objects; i++)
		(void)json_array_append_new(
			objects, json_pack("{ss,so,so}", "kind", op->objects[i].kind, "name",
					   out_json_text(op->objects[i].name), "access",
					   effects_json(op->objects[i].access)));
	for (size_t i = 0; i < op->n_attrs; i++)
		(void)json_object_set_new(attrs, op->attrs[i].key, attr_json(&op->attrs[i]));
	for (size_t i = 0; i < op->n_params; i++)
		(void)json_array_append_new(params, op->params[i].null
							    ? json_null()
							    : out_json_text(op->params[i].text));
	for (size_t i = 0; i < op->n_headers; i++)
		(void)json_array_append_new(headers,
					    json_pack("[o,o]", out_json_text(op->headers[i].name),
						      out_json_text(op->headers[i].value)));
	for (size_t i = 0; i < op->n_queries; i++)
		(void)json_array_append_new(query,
					    json_pack("[o,o]", out_json_text(op->queries[i].key),
						      out_json_text(op->queries[i].value)));
	o = json_pack("{ss,so,so,so,so,so}", "protocol", op->protocol, "verb",
		      out_json_text(op->verb), "effects", effects_json(op->effects), "objects",
		      objects, "attrs", attrs, "text", out_json_text(op->text));
	if (op->n_params)
		(void)json_object_set(o, "params", params);
	if (op->n_headers)
		(void)json_object_set(o, "headers", headers);
	if (op->n_queries)
		(void)json_object_set(o, "query", query);
	if (op->body.len)
		(void)json_object_set_new(o, "body", out_json_text(op->body));
	json_decref(params);
	json_decref(headers);
	json_decref(query);
	return o;
}

static void line(const char *what, const char *fmt, ...) __printf_like(2, 3);
static void line(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("  %-8s ", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static void facts_print(const struct op *op)
{
	char a[1024], b[1024];

	line("verb", "%s", log_escape(op->verb, a, sizeof(a)));
	line("effects", "%s", op_effects_format(op->effects, a, sizeof(a)));
	for (size_t i = 0; i < op->n_objects; i++)
		line("object", "%s:%s %s", op->objects[i].kind,
		     log_escape(op->objects[i].name, a, sizeof(a)),
		     op_effects_format(op->objects[i].access, b, sizeof(b)));
	for (size_t i = 0; i < op->n_attrs; i++) {
		const struct op_attr *t = &op->attrs[i];

		if (t->type == OP_ATTR_BOOL)
			line("attr", "%s=%s", t->key, t->b ? "true" : "false");
		else if (t->type == OP_ATTR_INT)
			line("attr", "%s=%lld", t->key, (long long)t->i);
		else
			line("attr", "%s=%s", t->key, log_escape(t->s, a, sizeof(a)));
	}
	for (size_t i = 0; i < op->n_params; i++)
		line("param", "$%zu=%s", i + 1,
		     op->params[i].null ? "NULL" : log_escape(op->params[i].text, a, sizeof(a)));
	for (size_t i = 0; i < op->n_headers; i++)
		line("header", "%s: %s", log_escape(op->headers[i].name, a, sizeof(a)),
		     log_escape(op->headers[i].value, b, sizeof(b)));
	for (size_t i = 0; i < op->n_queries; i++)
		line("query", "%s=%s", log_escape(op->queries[i].key, a, sizeof(a)),
		     log_escape(op->queries[i].value, b, sizeof(b)));
	if (op->body.len)
		line("body", "%s", log_escape(op->body, a, sizeof(a)));
}

/* ---- rules ---------------------------------------------------------------------------------- */

/* Which rules match; why the others do not. */
static json_t *rules_json(struct explain *x, const struct policy_target *t, const struct op *op)
{
	const struct identity *who = x->agent ? &x->who : NULL;
	json_t *list = json_array(), *rules, *rule;
	size_t i, reasons = 0;
	struct slice text = policy_text(x->policy);
	json_t *doc = json_loadb((const char *)text.ptr, text.len, 0, NULL); /* it compiled */

	for (i = 0; i < policy_rule_count(x->policy); i++) {
		struct verdict v;
		bool decides = policy_rule_decides(x->policy, i);

		if (!policy_rule_matches(x->policy, i, t, who, op, &v))
			continue;
		(void)json_array_append_new(list,
					    json_pack("{ss,ss,sb,si}", "rule", v.rule, "verdict",
						      decides ? verdict_names[v.kind] : "none",
						      "matches", 1, "risk", (int)v.risk));
	}
	rules = json_object_get(doc, "rules");
	json_array_foreach(rules, i, rule) {
		const char *id = json_string_value(json_object_get(rule, "id"));
		json_t *seen, *why;
		size_t j;
		bool matched = false;

		json_array_foreach(list, j, seen)
			if (id && strcmp(json_string_value(json_object_get(seen, "rule")), id) == 0)
				matched = true;
		if (matched || !id)
			continue;
		why = reasons++ < REASONS_MAX ? policy_why_not(x->why, id, t, who, op)
					      : json_object();
		(void)json_object_set_new(why, "rule", json_string(id));
		(void)json_object_set_new(why, "matches", json_false());
		(void)json_array_append_new(list, why);
	}
	json_decref(doc);
	return list;
}

static void rules_print(const json_t *list)
{
	size_t i, silent = 0;
	json_t *rule;

	json_array_foreach(list, i, rule) {
		const char *id = json_string_value(json_object_get(rule, "rule"));
		const char *condition = json_string_value(json_object_get(rule, "condition"));
		char *wanted;

		if (json_is_true(json_object_get(rule, "matches"))) {
			line("rule", "%s (%s)", id,
			     json_string_value(json_object_get(rule, "verdict")));
			continue;
		}
		if (!condition) {
			silent++;
			continue;
		}
		wanted = json_dumps(json_object_get(rule, "wanted"),
				    JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
		line("not", "%s: %s is not %.200s", id, condition, wanted ? wanted : "?");
		free(wanted);
	}
	if (silent)
		line("not", "%zu more rules", silent);
}

/* Whether it is allowed. */
static bool op_explain(struct explain *x, const struct policy_target *t, const struct op *op)
{
	json_t *rules = rules_json(x, t, op);
	struct verdict v;

	policy_decide(x->policy, t, x->agent ? &x->who : NULL, op, NULL, 0, &v);
	if (x->json) {
		policy_json_line(json_pack("{ss,ss,so,so,ss,ss,ss?,si}", "policy",
					   policy_name(x->policy), "target", t->name, "operation",
					   facts_json(op), "rules", rules, "verdict",
					   verdict_names[v.kind], "rule", v.rule, "message",
					   v.message, "risk", (int)v.risk));
		return v.kind == VERDICT_ALLOW;
	}
	printf("operation  %s\n", op->protocol);
	facts_print(op);
	rules_print(rules);
	json_decref(rules);
	if (v.risk)
		printf("risk       %u\n", v.risk);
	printf("verdict    %s by %s%s%s\n", verdict_names[v.kind], v.rule, v.message ? ": " : "",
	       v.message ? v.message : "");
	return v.kind == VERDICT_ALLOW;
}

static int malformed(const struct explain *x, const char *why)
{
	if (x->json)
		policy_json_line(json_pack("{ss,ss,ss,ss}", "policy", policy_name(x->policy),
					   "verdict", "block", "rule", "malformed", "message",
					   why));
	else
		printf("verdict    block: %s\n", why);
	return CLI_NO;
}

static int text_explain(struct explain *x, const struct cli_command *cmd)
{
	const char *protocol = x->sql ? "postgres" : "http";
	const struct policy_target *t = policy_ops_target(x->policy, x->target, protocol);
	struct policy_ops ops;
	bool allowed = true;
	int r;

	if (!t && x->target)
		return cli_fail(CLI_NO, "policy %s has no target %s", policy_name(x->policy),
				x->target);
	if (!t)
		return cli_fail(CLI_NO,
				"no target of policy %s speaks %s: the connection is refused",
				policy_name(x->policy), protocol);
	r = x->sql ? policy_ops_sql(x->sql, x->params, &ops) : policy_ops_http(x->http, &ops);
	if (r == 0 && !x->json)
		printf("policy     %s\ntarget     %s\n", policy_name(x->policy), t->name);
	for (size_t i = 0; r == 0 && i < ops.n; i++)
		allowed = op_explain(x, t, &ops.at[i]) && allowed;
	if (r == -EINVAL)
		r = cli_usage(cmd, "%s", ops.error);
	else if (r == -EBADMSG)
		r = malformed(x, ops.error);
	else if (r < 0)
		r = cli_fail(CLI_NO, "explaining: %s", strerror(-r));
	else
		r = allowed ? CLI_OK : CLI_NO;
	policy_ops_done(&ops);
	return r;
}

/* ---- options -------------------------------------------------------------------------------- */

static int label_add(const struct cli_command *cmd, struct explain *x, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return cli_usage(cmd, "--label %s: write KEY=VALUE", text);
	if (x->who.n_labels == IDENTITY_LABELS_MAX)
		return cli_usage(cmd, "more than %d labels", IDENTITY_LABELS_MAX);
	*equals = '\0';
	x->labels[x->who.n_labels++] = (struct identity_label){ text, equals + 1 };
	return CLI_GO_ON;
}

static int option_set(const struct cli_command *cmd, struct explain *x, int c)
{
	uint64_t n;

	x->agent |= c >= OPT_CGROUP && c <= OPT_LABEL;
	switch (c) {
	case OPT_SQL: x->sql = optarg; break;
	case OPT_HTTP: x->http = optarg; break;
	case OPT_PARAMS: x->params = optarg; break;
	case OPT_TARGET: x->target = optarg; break;
	case OPT_CGROUP: x->who.cgroup_path = optarg; break;
	case OPT_CONTAINER: x->who.container = optarg; break;
	case OPT_IMAGE: x->who.image = optarg; break;
	case OPT_EXE: x->who.exe = optarg; break;
	case OPT_UID:
		if (slice_to_u64(slice_str(optarg), &n) < 0 || n > UINT32_MAX)
			return cli_usage(cmd, "--uid is a number, not \"%s\"", optarg);
		x->who.uid = (uint32_t)n;
		break;
	case OPT_LABEL: return label_add(cmd, x, optarg);
	case OPT_JSON: x->json = true; break;
	case 'h': return cli_help(cmd);
	default: return CLI_USAGE; /* getopt has said why */
	}
	return CLI_GO_ON;
}

static int options_parse(const struct cli_command *cmd, int argc, char **argv, struct explain *x)
{
	static const struct option options[] = { { "sql", required_argument, NULL, OPT_SQL },
						 { "http", required_argument, NULL, OPT_HTTP },
						 { "params", required_argument, NULL, OPT_PARAMS },
						 { "target", required_argument, NULL, OPT_TARGET },
						 { "cgroup", required_argument, NULL, OPT_CGROUP },
						 { "container", required_argument, NULL,
						   OPT_CONTAINER },
						 { "image", required_argument, NULL, OPT_IMAGE },
						 { "exe", required_argument, NULL, OPT_EXE },
						 { "uid", required_argument, NULL, OPT_UID },
						 { "label", required_argument, NULL, OPT_LABEL },
						 { "json", no_argument, NULL, OPT_JSON },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	int c, r;

	x->who = (struct identity){ .cgroup_path = "",
				    .boot_id = "",
				    .runtime = "",
				    .container = "",
				    .image = "",
				    .pod = "",
				    .comm = "",
				    .exe = "",
				    .labels = x->labels };
	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		r = option_set(cmd, x, c);
		if (r != CLI_GO_ON)
			return r;
	}
	if (optind + 1 != argc || !x->sql == !x->http)
		return cli_usage(cmd, "explain takes one FILE and either --sql or --http");
	if (x->params && !x->sql)
		return cli_usage(cmd, "--params belongs to --sql");
	return CLI_GO_ON;
}

int policy_explain_run(const struct cli_command *cmd, int argc, char **argv)
{
	struct explain x = { 0 };
	const struct policy *matched;
	struct policy_set *set;
	int r = options_parse(cmd, argc, argv, &x);

	if (r != CLI_GO_ON)
		return r;
	r = policy_files_compile(argv[optind], &set, &x.policy);
	if (r != CLI_OK)
		return r;
	matched = policy_set_match(set, &x.who);
	if (x.agent && x.policy && matched != x.policy)
		fprintf(stderr,
			"weir: policy %s is not for this agent: its \"agents\" do not match\n",
			policy_name(x.policy));
	if (!x.policy)
		x.policy = matched;
	if (!x.policy)
		r = cli_fail(CLI_NO, "no policy is for this agent (--cgroup, --label… say which): "
				     "all its connections are refused");
	else if (policy_why_new(x.policy, &x.why) < 0)
		r = cli_fail(CLI_NO, "explaining: %s", strerror(ENOMEM));
	else
		r = text_explain(&x, cmd);
	x.why = policy_why_free(x.why);
	(void)policy_set_unref(set); /* returns NULL */
	return r;
}
