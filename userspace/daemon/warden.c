// SPDX-License-Identifier: Apache-2.0
#include "daemon/warden.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/warden_int.h"

#define SWEEP_NS NSEC_PER_SEC
#define FLOWS_SWEEP_NS (60 * NSEC_PER_SEC)
#define FLOWS_AGE_S \
	300 /* longer than a proxy is ever down, or a full accept queue is tried again */
#define STOP_TIMEOUT_NS (10 * NSEC_PER_SEC) /* the proxy's, to close its sessions */

enum { TURN_EVENTS = 32, TICK_MS = 250 };

int warden_watch(struct warden *w, int fd, unsigned events, __u64 tag)
{
	struct epoll_event ev = { .events = events, .data.u64 = tag };

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_loop(struct warden *w)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, children would vanish unseen */
	w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->signals < 0 || w->epoll < 0)
		return -errno;
	r = warden_watch(w, w->signals, EPOLLIN, SOURCE_TAG(SOURCE_SIGNAL, 0));
	if (r < 0)
		return r;
	r = watch_init(&w->watch);
	if (r == 0)
		return warden_watch(w, w->watch.fd, EPOLLIN, SOURCE_TAG(SOURCE_WATCH, 0));
	log_warn("changes of policies are not noticed, `weir policy reload` is needed error=\"%s\"",
		 strerror(-r));
	return 0;
}

static void reap(struct warden *w)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == w->proxy.pid)
			keeper_died(w, status);
		else
			(void)notify_died(w, pid, status); /* there are no others */
}

static void signals_read(struct warden *w)
{
	struct signalfd_siginfo si;

	while (read(w->signals, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD: reap(w); break;
		case SIGHUP:
			log_info("reloading the policies");
			/* What went wrong is said there; without a proxy it is tried again. */
			if (keeper_reload(w, 0, false) == -ENOTCONN)
				watch_again(&w->watch, clock_monotonic_ns());
			break;
		default:
			log_info("stopping signal=%u", si.ssi_signo);
			w->stopping = true;
			break;
		}
	}
}

/* What connects left in the map that ended before anybody accepted them. */
static void flows_sweep(struct warden *w)
{
	int n = bpfctl_sweep_flows(w->bpf, FLOWS_AGE_S);

	if (n > 0)
		log_info("flow records of connections that nobody accepted are removed count=%d",
			 n);
	else if (n < 0)
		log_warn("cannot sweep flow records error=\"%s\"", strerror(-n));
}

static void turn(struct warden *w)
{
	struct epoll_event events[TURN_EVENTS];
	int n = epoll_wait(w->epoll, events, TURN_EVENTS, TICK_MS);
	__u64 now;

	for (int i = 0; i < n; i++) {
		__u64 tag = events[i].data.u64, id = tag & ((1ULL << 56) - 1);

		switch ((enum source)(tag >> 56)) {
		case SOURCE_SIGNAL: signals_read(w); break;
		case SOURCE_CONTROL: control_accept(w); break;
		case SOURCE_PROXY:
			if (id == w->proxy.epoch)
				keeper_readable(w);
			break;
		case SOURCE_CLIENT: control_event(w, id, events[i].events); break;
		case SOURCE_NOTIFIER: notify_event(w, id, events[i].events); break;
		case SOURCE_WATCH: watch_read(&w->watch, clock_monotonic_ns()); break;
		}
	}
	now = clock_monotonic_ns();
	if (watch_take(&w->watch, now) && keeper_reload(w, 0, true) == -ENOTCONN)
		watch_again(&w->watch, now);
	keeper_tick(w, now);
	control_tick(w, now);
	notify_tick(w, now);
	if (now >= w->next_sweep_ns) {
		w->next_sweep_ns = now + SWEEP_NS;
		agents_sweep(w);
	}
	if (now >= w->next_flows_ns) {
		w->next_flows_ns = now + FLOWS_SWEEP_NS;
		flows_sweep(w);
	}
}

/* The proxy first: its sessions are closed and recorded while the world is still whole. */
static void stop(struct warden *w)
{
	__u64 deadline = clock_monotonic_ns() + STOP_TIMEOUT_NS;

	w->stopping = true;
	control_close(w);
	for (size_t i = 0; i < LISTENERS; i++) {
		close_p(&w->listeners[i]);
		w->listeners[i] = -1;
	}
	if (w->proxy.state == PROXY_READY)
		keeper_stop(w);
	else
		keeper_kill(w, "the daemon ends");
	/* Then the notifier: it still tells how all ended. */
	while (w->proxy.pid > 0 || notify_stop(w)) {
		struct epoll_event events[TURN_EVENTS];
		int n = epoll_wait(w->epoll, events, TURN_EVENTS, TICK_MS);

		for (int i = 0; i < n; i++) {
			__u64 tag = events[i].data.u64;

			if (tag >> 56 == SOURCE_SIGNAL)
				signals_read(w);
			else if (tag >> 56 == SOURCE_PROXY)
				keeper_readable(w);
			else if (tag >> 56 == SOURCE_NOTIFIER)
				notify_event(w, tag & ((1ULL << 56) - 1), events[i].events);
		}
		reap(w);
		if (clock_monotonic_ns() >= deadline) {
			if (w->proxy.pid > 0)
				keeper_kill(w, "it does not finish");
			else
				notify_kill(w, "it does not finish");
			deadline += STOP_TIMEOUT_NS;
		}
	}
}

static int start(struct warden *w)
{
	struct bpfctl_config bpf_cfg = { .pin_dir = w->pin_dir };
	struct bpfctl_err err = { "" };
	int r;

	r = open_loop(w);
	if (r < 0) {
		log_error("cannot start error=\"%s\"", strerror(-r));
		return r;
	}
	r = place_user(w);
	if (r == 0)
		r = place_runtime(w);
	if (r == 0)
		r = place_store(w);
	if (r == 0) {
		char error[1024];

		w->policies = place_policies(w, &w->n_policies, w->loaded.digest, error);
		r = MIN(w->policies, 0);
	}
	/* Before the kernel is touched: it tells whether another daemon is there. */
	if (r == 0)
		r = control_open(w);
	if (r == 0) {
		r = bpfctl_open(&bpf_cfg, &w->bpf, &err);
		if (r < 0)
			log_error("%s", err.message[0] ? err.message : strerror(-r));
	}
	if (r == 0) {
		r = agents_adopt(w);
		if (r < 0)
			log_error("cannot take over what is attached error=\"%s\"", strerror(-r));
	}
	if (r == 0)
		r = place_listeners(w);
	if (r == 0)
		r = notify_open(w);
	if (r == 0) {
		notify_start(w);
		r = keeper_start(w);
	}
	return r;
}

int warden_main(const struct daemon_config *cfg)
{
	struct warden w = {
		.cfg = cfg,
		.epoll = -1,
		.signals = -1,
		.control = -1,
		.lock = -1,
		.agents_dir = -1,
		.listeners = { -1, -1 },
		.policies = -1,
		.watch = { .fd = -1 },
		.exit_status = -1,
		.started_ns = clock_monotonic_ns(),
	};
	bool owned;
	__u64 id;

	if (geteuid() != 0) {
		log_error("the daemon must be started as root");
		return 1;
	}
	umask(022);
	keeper_init(&w);
	list_init(&w.attached);
	list_init(&w.clients);
	if (start(&w) < 0)
		w.exit_status = 1;
	while (w.exit_status < 0 && !w.stopping)
		turn(&w);
	stop(&w);
	owned = w.agents_dir >= 0; /* else the lock and all below are another daemon's */
	if (owned && cfg->detach_on_exit && w.bpf)
		agents_detach_all(&w);
	/* With no cgroup attached the pins guard nothing. */
	if (owned && w.bpf && (cfg->detach_on_exit || bpfctl_attached(w.bpf, &id, 1) == 0) &&
	    bpfctl_unpin_all(w.bpf) < 0)
		log_error("pins stay path=%s", w.pin_dir);
	agents_free_all(&w);
	notify_close(&w);
	w.bpf = bpfctl_close(w.bpf);
	if (owned && cfg->detach_on_exit)
		place_remove(&w);
	watch_done(&w.watch);
	json_decref(w.loaded.list);
	close_p(&w.policies);
	close_p(&w.agents_dir);
	close_p(&w.epoll);
	close_p(&w.signals);
	close_p(&w.lock);
	return MAX(w.exit_status, 0);
}
