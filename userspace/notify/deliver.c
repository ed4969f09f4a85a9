// SPDX-License-Identifier: Apache-2.0
#include "deliver.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "body.h"

enum {
	CONNECT_TIMEOUT_MS = 5000,
	TIMEOUT_MS = 15000,
	FDS_MAX = 8,
	HEADER_MAX = 256,
};

struct deliver {
	CURLM *multi;
	struct queue *queue;
	const struct deliver_target *targets;
	unsigned n_targets;
	struct log_limit complaints;
};

/* One attempt. */
struct transfer {
	CURL *easy;
	struct curl_slist *headers;
	struct delivery *delivery;
	size_t got; /* bytes of the answer's body */
	char error[CURL_ERROR_SIZE];
};

int deliver_url_check(const char *url, const char **reterr)
{
	char *scheme = NULL, *host = NULL, *user = NULL, *fragment = NULL;
	const char *why = NULL;
	CURLU *u = curl_url();

	if (!u) {
		*reterr = "out of memory";
		return -ENOMEM;
	}
	if (strlen(url) >= DELIVER_URL_MAX)
		why = "is too long";
	else if (strpbrk(url, " \t\r\n") || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
		 curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		 curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || !*host)
		why = "is no URL";
	else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK || strchr(host, '@'))
		why = "must not have a user or a password in it";
	else if (curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
		why = "must not have a fragment";
	else if (strcmp(scheme, "https") != 0 &&
		 (strcmp(scheme, "http") != 0 ||
		  (strcmp(host, "127.0.0.1") != 0 && strcmp(host, "[::1]") != 0)))
		why = "must begin with https:// (http:// to 127.0.0.1 and [::1] only)";
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_free(fragment);
	curl_url_cleanup(u);
	if (!why)
		return 0;
	*reterr = why;
	return -EINVAL;
}

int deliver_new(struct queue *q, const struct deliver_target *targets, unsigned n,
		struct deliver **ret)
{
	struct deliver *d;

	assert(n <= TOKENS_WEBHOOKS_MAX);
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(d->multi = curl_multi_init())) {
		free(d);
		return -ENOMEM;
	}
	d->queue = q;
	d->targets = targets;
	d->n_targets = n;
	*ret = d;
	return 0;
}

static void transfer_free(struct deliver *d, struct transfer *t)
{
	if (t->easy) {
		/* Harmless for one that was never added. */
		(void)curl_multi_remove_handle(d->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	curl_slist_free_all(t->headers);
	free(t);
}

struct deliver *deliver_free(struct deliver *d)
{
	if (!d)
		return NULL;
	list_foreach(n, &d->queue->list) {
		struct delivery *one = container_of(n, struct delivery, node);

		if (!one->busy)
			continue;
		transfer_free(d, one->transfer);
		(void)queue_finish(d->queue, one, DELIVERY_REFUSED, 0, 0,
				   0); /* none is tried again */
	}
	(void)curl_multi_cleanup(d->multi); /* it has no handles left */
	curl_global_cleanup();
	free(d);
	return NULL;
}

/* libcurl's: nobody reads what a webhook answers; more than a page of it is no answer. */
static size_t on_answer(char *data, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;

	t->got += n;
	return t->got > DELIVER_ANSWER_MAX ? 0 : n;
}

static int add_header(struct transfer *t, const char *name, const char *value)
{
	char line[HEADER_MAX];
	struct curl_slist *grown;

	if (snprintf(line, sizeof(line), "%s: %s", name, value) >= (int)sizeof(line))
		return -EMSGSIZE;
	grown = curl_slist_append(t->headers, line);
	if (!grown)
		return -ENOMEM;
	t->headers = grown;
	return 0;
}

static int set_headers(struct transfer *t, const struct deliver_target *to)
{
	const struct delivery *one = t->delivery;
	char stamp[32], id[TOKENS_ID_MAX + 16], signature[BODY_SIGNATURE_MAX];
	int r;

	(void)snprintf(stamp, sizeof(stamp), "%llu",
		       (unsigned long long)(clock_realtime_ns() / NSEC_PER_SEC));
	(void)snprintf(id, sizeof(id), "%s-%s", one->id,
		       one->kind == DELIVERY_HELD ? "held" : "settled");
	r = body_sign(to->key, stamp, slice_of(one->body, one->len), signature);
	if (r == 0)
		r = add_header(t, "Content-Type", "application/json");
	if (r == 0)
		r = add_header(t, "X-Weir-Id", id);
	if (r == 0)
		r = add_header(t, "X-Weir-Timestamp", stamp);
	if (r == 0)
		r = add_header(t, "X-Weir-Signature", signature);
	if (r == 0) {
		/* Without a value: not sent. Waiting for "100 Continue" costs a second at some servers. */
		struct curl_slist *grown = curl_slist_append(t->headers, "Expect:");

		r = grown ? 0 : -ENOMEM;
		t->headers = grown ? grown : t->headers;
	}
	return r;
}

#define SET(option, value) (curl_easy_setopt(t->easy, option, value) == CURLE_OK)

static int set_options(struct transfer *t, const struct deliver_target *to)
{
	struct curl_blob ca = { .data = (void *)to->ca,
				.len = to->ca_len,
				.flags = CURL_BLOB_NOCOPY };
	bool fine = SET(CURLOPT_URL, to->url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
		    SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
		    SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
		    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
		    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
		    SET(CURLOPT_PROXY, "") && SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) &&
		    SET(CURLOPT_NOSIGNAL, 1L) &&
		    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) &&
		    SET(CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS) &&
		    SET(CURLOPT_USERAGENT, "weir/" WEIR_VERSION) &&
		    SET(CURLOPT_HTTPHEADER, t->headers) && SET(CURLOPT_POST, 1L) &&
		    SET(CURLOPT_POSTFIELDS, t->delivery->body) &&
		    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->delivery->len) &&
		    SET(CURLOPT_WRITEFUNCTION, on_answer) && SET(CURLOPT_WRITEDATA, t) &&
		    SET(CURLOPT_ERRORBUFFER, t->error) && SET(CURLOPT_PRIVATE, t);

	/* CAPATH would be trusted beside the blob. */
	if (fine && to->ca)
		fine = SET(CURLOPT_CAINFO_BLOB, &ca) && SET(CURLOPT_CAPATH, NULL);
	return fine ? 0 : -ENOMEM;
}

static int begin(struct deliver *d, struct delivery *one)
{
	struct transfer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->delivery = one;
	t->easy = curl_easy_init();
	r = t->easy ? set_headers(t, &d->targets[one->webhook]) : -ENOMEM;
	if (r == 0)
		r = set_options(t, &d->targets[one->webhook]);
	if (r == 0 && curl_multi_add_handle(d->multi, t->easy) != CURLM_OK)
		r = -ENOMEM;
	if (r < 0) {
		transfer_free(d, t);
		return r;
	}
	one->transfer = t;
	return 0;
}

/* Chance for the pauses; that it can be guessed would not matter. */
static uint32_t noise(void)
{
	uint32_t v = 0;

	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) < 0)
		return 0;
	return v;
}

static void finished(struct deliver *d, struct transfer *t, CURLcode code)
{
	struct delivery *one = t->delivery;
	enum delivery_outcome how = DELIVERY_AGAIN;
	long status = 0;
	curl_off_t after = 0;
	char why[CURL_ERROR_SIZE * 2], id[TOKENS_ID_MAX];
	unsigned webhook = one->webhook, attempts = one->attempts, dropped;
	bool again;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status); /* else it stays 0 */
	(void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &after);
	if (code == CURLE_OK && status >= 200 && status < 300)
		how = DELIVERY_DONE;
	else if (code == CURLE_OK && status != 429 && status < 500)
		how = DELIVERY_REFUSED; /* asking again would be answered the same */
	if (code == CURLE_OK)
		(void)snprintf(why, sizeof(why), "status %ld", status);
	else
		(void)log_escape(slice_str(t->error[0] ? t->error : curl_easy_strerror(code)), why,
				 sizeof(why));
	memcpy(id, one->id, sizeof(id));
	transfer_free(d, t);
	again = queue_finish(d->queue, one, how, after > 0 ? (uint64_t)after : 0, noise(),
			     clock_monotonic_ns());
	if (how == DELIVERY_DONE)
		log_debug("webhook told name=%s id=%s attempts=%u", d->targets[webhook].name, id,
			  attempts);
	else if (log_limit_pass(&d->complaints, 10, &dropped))
		log_warn("webhook failed name=%s id=%s attempt=%u why=\"%s\"%s dropped=%u",
			 d->targets[webhook].name, id, attempts, why,
			 again ? ", trying again" : ", giving up", dropped);
}

void deliver_run(struct deliver *d)
{
	struct delivery *one;
	CURLMsg *m;
	int left, running;

	while ((one = queue_next(d->queue, clock_monotonic_ns()))) {
		int r = begin(d, one);

		if (r < 0) {
			log_error("cannot begin a webhook name=%s error=\"%s\"",
				  d->targets[one->webhook].name, strerror(-r));
			(void)queue_finish(d->queue, one, DELIVERY_AGAIN, 0, noise(),
					   clock_monotonic_ns());
		}
	}
	(void)curl_multi_perform(d->multi, &running); /* what fails is told of each transfer */
	while ((m = curl_multi_info_read(d->multi, &left))) {
		struct transfer *t = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK && t)
			finished(d, t, m->data.result);
	}
}

void deliver_wait(struct deliver *d, struct deliver_fd *fds, unsigned n, unsigned timeout_ms)
{
	struct curl_waitfd wait[FDS_MAX] = { 0 };
	uint64_t now = clock_monotonic_ns(), wake = queue_wake_ns(d->queue);

	assert(n <= FDS_MAX);
	if (wake <= now)
		timeout_ms = 0;
	else if ((wake - now) / NSEC_PER_MSEC < timeout_ms)
		timeout_ms = (unsigned)((wake - now) / NSEC_PER_MSEC) + 1;
	for (unsigned i = 0; i < n; i++)
		wait[i] = (struct curl_waitfd){ .fd = fds[i].fd, .events = CURL_WAIT_POLLIN };
	/* An error would come at once and again: the loop turns all the same, and the pause is kept short
	 * by its timers. */
	(void)curl_multi_poll(d->multi, wait, n, (int)timeout_ms, NULL);
	for (unsigned i = 0; i < n; i++)
		fds[i].readable = wait[i].revents != 0;
}
