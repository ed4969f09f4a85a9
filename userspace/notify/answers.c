// SPDX-License-Identifier: Apache-2.0
#include "answers.h"

#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"

#define ROOT "/v1/approvals/"
#define VOTE_TIMEOUT_NS (20 * NSEC_PER_SEC)

enum {
	UIDS_MAX = 64,
	IDLE_TIMEOUT_S = 10,
	CONNECTION_MEMORY = 16 * 1024,
	STATUS_MAX = 32,
	BODY_SWALLOWED_MAX = 16 * ANSWERS_BODY_MAX
};

enum request_state { REQUEST_READING, REQUEST_VOTING, REQUEST_JUDGED };

struct request {
	struct list_node node; /* of those that vote */
	struct MHD_Connection *connection;
	uint64_t number, asked_ns;
	enum request_state state;
	bool handed_out, too_long;
	size_t got; /* bytes of the body */
	enum vote_kind kind;
	struct buf body;
	char id[TOKENS_ID_MAX], token[TOKEN_TEXT_MAX];
	char who[ANSWERS_WHO_MAX], reason[ANSWERS_REASON_MAX];
	int how;
	char status[STATUS_MAX];
};

/* Requests that a uid may still make. */
struct allowance {
	uid_t uid;
	bool used;
	uint64_t at_ns;
	double left;
};

struct answers {
	struct MHD_Daemon *mhd;
	int epoll;
	uint64_t last_number;
	struct list_node votes;
	struct allowance uids[UIDS_MAX];
	struct answers_stats stats;
	struct log_limit complaints;
};

/* ---- answers ----------------------------------------------------------------------------------- */

static enum MHD_Result reply(struct MHD_Connection *c, unsigned code, json_t *take)
{
	char *text = take ? json_dumps(take, JSON_COMPACT) : NULL;
	struct MHD_Response *r;
	enum MHD_Result done = MHD_NO;

	json_decref(take);
	if (!text)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return MHD_NO;
	}
	if (MHD_add_response_header(r, "Content-Type", "application/json") == MHD_YES &&
	    MHD_add_response_header(r, "Cache-Control", "no-store") == MHD_YES &&
	    (code != 405 || MHD_add_response_header(r, "Allow", "GET, POST") == MHD_YES) &&
	    (code != 429 || MHD_add_response_header(r, "Retry-After", "1") == MHD_YES))
		done = MHD_queue_response(c, code, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned code, const char *why)
{
	return reply(c, code, json_pack("{sb,ss}", "ok", 0, "error", why));
}

static enum MHD_Result reply_judged(struct request *q)
{
	static const struct {
		int how;
		unsigned code;
		const char *why;
	} table[] = {
		{ -EACCES, 403, "no such operation, or not its token" },
		{ -EPERM, 403, "not from there" },
		{ -ENOENT, 410, "it waits no more" },
		{ -EEXIST, 409, "answered before" },
		{ -EALREADY, 409, "the token is used up" },
	};

	if (q->how >= 0)
		return reply(q->connection, 200,
			     json_pack("{sb,ss,ss}", "ok", 1, "id", q->id, "status", q->status));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (q->how == table[i].how)
			return reply(q->connection, table[i].code,
				     json_pack("{sb,ss,ss*}", "ok", 0, "error", table[i].why,
					       "status", q->status[0] ? q->status : NULL));
	return refuse(q->connection, 503, "try again");
}

/* ---- requests ---------------------------------------------------------------------------------- */

/* One more of this uid? A bucket each; the one that was quiet for longest gives way to a new uid. */
static bool allowed(struct answers *a, uid_t uid)
{
	uint64_t now = clock_monotonic_ns();
	struct allowance *u = NULL;

	for (size_t i = 0; i < UIDS_MAX && !u; i++)
		if (a->uids[i].used && a->uids[i].uid == uid)
			u = &a->uids[i];
	if (!u) {
		u = &a->uids[0];
		for (size_t i = 1; i < UIDS_MAX && u->used; i++)
			if (!a->uids[i].used || a->uids[i].at_ns < u->at_ns)
				u = &a->uids[i];
		*u = (struct allowance){
			.uid = uid, .used = true, .at_ns = now, .left = ANSWERS_BURST
		};
	}
	u->left += (double)(now - u->at_ns) / NSEC_PER_SEC * ANSWERS_PER_SECOND;
	u->left = MIN(u->left, (double)ANSWERS_BURST);
	u->at_ns = now;
	if (u->left < 1)
		return false;
	u->left -= 1;
	return true;
}

static int connection_fd(struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

	return i ? i->connect_fd : -1;
}

static bool peer_allowed(struct answers *a, struct MHD_Connection *c)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned dropped;
	int fd = connection_fd(c);

	a->stats.requests++;
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (allowed(a, peer.uid))
		return true;
	a->stats.limited++;
	if (log_limit_pass(&a->complaints, 1, &dropped))
		log_warn("too many requests on the socket for answers uid=%u pid=%d dropped=%u",
			 (unsigned)peer.uid, (int)peer.pid, dropped);
	return false;
}

/* "/v1/approvals/ID[/VERB]": into q. False: there is no such place. */
static bool parse_url(struct request *q, const char *url, const char *method)
{
	const char *id = url + strlen(ROOT), *end;
	size_t n;

	if (strncmp(url, ROOT, strlen(ROOT)) != 0)
		return false;
	end = strchrnul(id, '/');
	n = (size_t)(end - id);
	if (n >= sizeof(q->id))
		return false;
	memcpy(q->id, id, n);
	q->id[n] = '\0';
	if (!token_id_valid(q->id))
		return false;
	if (!*end)
		q->kind = VOTE_STATUS;
	else if (strcmp(end, "/approve") == 0)
		q->kind = VOTE_APPROVE;
	else if (strcmp(end, "/deny") == 0)
		q->kind = VOTE_DENY;
	else
		return false;
	return true;
}

/* Text for people and records: UTF-8 (jansson saw to that), no control characters. */
static const char *take_text(const char *key, const json_t *v, char *out, size_t size)
{
	const char *s = json_string_value(v);

	if (!s)
		return "members must be strings";
	if (json_string_length(v) >= size)
		return "a member is too long";
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "control characters are not allowed";
	memcpy(out, s, strlen(s) + 1);
	return NULL;
}

/* NULL, or what is wrong with the body. */
static const char *parse_body(struct request *q)
{
	struct slice s = buf_peek(&q->body);
	json_t *o =
		json_loadb(s.len ? (const char *)s.ptr : "", s.len, JSON_REJECT_DUPLICATES, NULL);
	const char *key, *why = NULL;
	json_t *v;

	if (!json_is_object(o)) {
		json_decref(o);
		return "the body must be a JSON object";
	}
	json_object_foreach(o, key, v) {
		if (strcmp(key, "token") == 0)
			why = take_text(key, v, q->token, sizeof(q->token));
		else if (strcmp(key, "who") == 0)
			why = take_text(key, v, q->who, sizeof(q->who));
		else if (strcmp(key, "reason") == 0)
			why = take_text(key, v, q->reason, sizeof(q->reason));
		else
			why = "members are \"token\", \"who\" and \"reason\"";
		if (why)
			break;
	}
	json_decref(o);
	return why ? why : q->token[0] ? NULL : "\"token\" is missing";
}

/* The whole request is here: an answer, or a vote. */
static enum MHD_Result handle(struct answers *a, struct request *q, const char *url,
			      const char *method)
{
	struct MHD_Connection *c = q->connection;
	bool get = strcmp(method, "GET") == 0, post = strcmp(method, "POST") == 0;
	const char *why, *token;

	if (!peer_allowed(a, c))
		return refuse(c, 429, "too many requests");
	if (!parse_url(q, url, method))
		return refuse(c, 404, "there is no such place");
	if ((q->kind == VOTE_STATUS && !get) || (q->kind != VOTE_STATUS && !post))
		return refuse(c, 405, "GET asks, POST answers");
	if (q->too_long)
		return refuse(c, 413, "the body is too long");
	if (get) {
		token = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token");
		if (!token || strlen(token) >= sizeof(q->token))
			return refuse(c, 403, "no such operation, or not its token");
		memcpy(q->token, token, strlen(token) + 1);
	} else {
		const char *type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type");

		/* Browsers send forms to anywhere; they do not send this without asking. */
		if (!type || strncasecmp(type, "application/json", 16) != 0 ||
		    (type[16] && type[16] != ';' && type[16] != ' '))
			return refuse(c, 415, "the body must be application/json");
		why = parse_body(q);
		if (why)
			return refuse(c, 400, why);
	}
	q->state = REQUEST_VOTING;
	q->number = ++a->last_number;
	q->asked_ns = clock_monotonic_ns();
	list_append(&a->votes, &q->node);
	MHD_suspend_connection(c);
	return MHD_YES;
}

/* libmicrohttpd's: the head is here (*state NULL), pieces of the body, the end, or back from sleep. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_len, void **state)
{
	struct answers *a = arg;
	struct request *q = *state;

	if (!q) {
		q = calloc(1, sizeof(*q));
		if (!q)
			return MHD_NO;
		list_init(&q->node);
		buf_init(&q->body, ANSWERS_BODY_MAX);
		q->connection = c;
		*state = q;
		return MHD_YES;
	}
	if (*data_len) {
		/* A little too long is read to its end, so that the client hears why. */
		q->got += *data_len;
		if (q->got > BODY_SWALLOWED_MAX)
			return MHD_NO;
		q->too_long |= buf_put(&q->body, data, *data_len) < 0;
		*data_len = 0;
		return MHD_YES;
	}
	if (q->state == REQUEST_JUDGED)
		return reply_judged(q);
	if (q->state == REQUEST_VOTING)
		return MHD_NO; /* woken without a word */
	return handle(a, q, url, method);
}

static void on_end(void *arg, struct MHD_Connection *c, void **state,
		   enum MHD_RequestTerminationCode why)
{
	struct request *q = *state;

	if (!q)
		return;
	list_remove(&q->node);
	buf_done_wiped(&q->body);
	explicit_bzero(q->token, sizeof(q->token));
	free(q);
	*state = NULL;
}

/* ---- the outside -------------------------------------------------------------------------------- */

int answers_new(int listener, struct answers **ret)
{
	const union MHD_DaemonInfo *info;
	struct answers *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	list_init(&a->votes);
	a->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				  on_request, a, MHD_OPTION_LISTEN_SOCKET, listener,
				  MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned)ANSWERS_CONNECTIONS_MAX,
				  MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
				  MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	info = a->mhd ? MHD_get_daemon_info(a->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		if (a->mhd)
			MHD_stop_daemon(a->mhd);
		free(a);
		return -EINVAL;
	}
	a->epoll = info->epoll_fd;
	*ret = a;
	return 0;
}

static void judge(struct request *q, int how, const char *status)
{
	q->state = REQUEST_JUDGED;
	q->how = how;
	(void)snprintf(q->status, sizeof(q->status), "%s", status); /* one of our words */
	list_remove(&q->node);
	MHD_resume_connection(q->connection);
}

struct answers *answers_free(struct answers *a)
{
	if (!a)
		return NULL;
	/* None may sleep when the library ends. */
	list_foreach(n, &a->votes)
		judge(container_of(n, struct request, node), -ENOTCONN, "");
	answers_run(a);
	MHD_stop_daemon(a->mhd);
	free(a);
	return NULL;
}

int answers_fd(const struct answers *a)
{
	return a->epoll;
}

unsigned answers_timeout_ms(struct answers *a, unsigned max_ms)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(a->mhd, &ms) != MHD_YES || ms > max_ms)
		return max_ms;
	return (unsigned)ms;
}

void answers_run(struct answers *a)
{
	uint64_t now = clock_monotonic_ns();

	list_foreach(n, &a->votes) {
		struct request *q = container_of(n, struct request, node);

		if (now - q->asked_ns > VOTE_TIMEOUT_NS)
			judge(q, -ETIMEDOUT, "");
	}
	(void)MHD_run(a->mhd); /* refuses only daemons of other kinds */
}

bool answers_next(struct answers *a, struct vote *ret)
{
	list_foreach(n, &a->votes) {
		struct request *q = container_of(n, struct request, node);

		if (q->handed_out)
			continue;
		q->handed_out = true;
		*ret = (struct vote){
			.request = q->number,
			.kind = q->kind,
			.id = q->id,
			.token = q->token,
			.who = q->who,
			.reason = q->reason,
			.fd = connection_fd(q->connection),
		};
		return true;
	}
	return false;
}

void answers_settle(struct answers *a, uint64_t request, int how, const char *status)
{
	list_foreach(n, &a->votes) {
		struct request *q = container_of(n, struct request, node);

		if (q->number == request) {
			judge(q, how, status);
			return;
		}
	}
}

void answers_stats(const struct answers *a, struct answers_stats *ret)
{
	*ret = a->stats;
}
