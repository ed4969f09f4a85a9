// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/sched.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"
#include "bpfctl/bpfctl.h"
#include "cli/client.h"
#include "cli/private.h"
#include "daemon/cgroup.h"
#include "daemon/config.h"

enum {
	OPT_POLICY = 256,
	OPT_LABEL,
	OPT_NAME,
	OPT_STORE,
	OPT_SOCKET,
	OPT_PRIVATE,
	OPT_DEBUG,
	EXIT_NOT_STARTED = 125, /* Weir's own failure, as env(1), timeout(1) and docker have it */
	EXIT_NO_EXEC = 126,
	EXIT_NOT_FOUND = 127,
	GRACE_MS = 1000, /* between SIGTERM and SIGKILL for what the command left behind */
};

static const struct option options[] = {
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "private", no_argument, NULL, OPT_PRIVATE },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

struct run {
	const char *policy_path, *name, *store, *socket;
	bool private, debug;
	json_t *labels, *policy;
	char **argv;
	struct private_daemon daemon; /* pid 0: it is somebody else's */
	int control;
	char cgroup[CGROUP_PATH_MAX]; /* "" = not made yet */
	bool attached;
	uid_t uid;
	gid_t gid;
	char user[256];  /* whose groups the command gets; "" = keep ours */
	char home[4096]; /* of that user */
	sigset_t old_mask;
};

/* Signals that are passed on to the command when somebody sends them to us. */
static const int forwarded[] = { SIGINT,  SIGTERM, SIGQUIT, SIGHUP,  SIGUSR1,
				 SIGUSR2, SIGALRM, SIGCONT, SIGWINCH };

static int parse(const struct cli_command *cmd, int argc, char **argv, struct run *run)
{
	int c, r;

	optind = 0;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (c) {
		case OPT_POLICY: run->policy_path = optarg; break;
		case OPT_NAME: run->name = optarg; break;
		case OPT_STORE: run->store = optarg; break;
		case OPT_SOCKET: run->socket = optarg; break;
		case OPT_PRIVATE: run->private = true; break;
		case OPT_DEBUG: run->debug = true; break;
		case OPT_LABEL:
			r = client_label(cmd, run->labels, optarg);
			if (r != CLI_OK)
				return r;
			break;
		case 'h': return -1;
		default: return cli_usage(cmd, "see above");
		}
	}
	if (optind == argc)
		return cli_usage(cmd, "which command?");
	if (run->private && run->socket)
		return cli_usage(cmd, "--private starts a daemon, --socket names one");
	run->argv = argv + optind;
	return CLI_OK;
}

/* Under sudo the command belongs to who called sudo. */
static int find_user(struct run *run)
{
	const char *uid_text = getenv("SUDO_UID"), *gid_text = getenv("SUDO_GID");
	uint64_t uid, gid;
	struct passwd *pw;

	run->uid = getuid();
	run->gid = getgid();
	if (!uid_text || !gid_text)
		return CLI_OK;
	if (slice_to_u64(slice_str(uid_text), &uid) < 0 || uid >= UINT32_MAX ||
	    slice_to_u64(slice_str(gid_text), &gid) < 0 || gid >= UINT32_MAX)
		return cli_fail(EXIT_NOT_STARTED, "SUDO_UID and SUDO_GID are no numbers");
	run->uid = (uid_t)uid;
	run->gid = (gid_t)gid;
	/* As the proxy's own user an agent could read the store and signal the proxy. */
	if (uid == DAEMON_FALLBACK_ID || uid == DAEMON_NOTIFIER_FALLBACK_ID)
		return cli_fail(EXIT_NOT_STARTED,
				"uid %u is the proxy's own: an agent must be another", run->uid);
	pw = getpwuid(run->uid);
	if (pw &&
	    (snprintf(run->user, sizeof(run->user), "%s", pw->pw_name) >= (int)sizeof(run->user) ||
	     snprintf(run->home, sizeof(run->home), "%s", pw->pw_dir) >= (int)sizeof(run->home)))
		return cli_fail(EXIT_NOT_STARTED, "the user's passwd entry is too long");
	return CLI_OK;
}

/* A daemon to talk to: the one that runs, or a private one. */
static int find_daemon(struct run *run)
{
	const char *path = cli_socket_path(run->socket);
	json_t *answer = NULL;
	const char *store;
	int r;

	run->control = run->private ? -ENOENT : client_open(path);
	if (run->control >= 0) {
		if (!run->store)
			return CLI_OK;
		r = client_ask(run->control, json_pack("{ss}", "command", "status"), &answer);
		store = json_string_value(json_object_get(answer, "store"));
		r = r == 0 && store && strcmp(store, run->store) == 0 ? CLI_OK : CLI_NO;
		if (r != CLI_OK)
			r = cli_fail(
				EXIT_NOT_STARTED,
				"the daemon that runs records in %s; leave --store out, or give "
				"--private for a daemon of this command's own",
				store ? store : "another store");
		json_decref(answer);
		return r;
	}
	if (run->socket || (run->control != -ENOENT && run->control != -ECONNREFUSED))
		return cli_fail(EXIT_NOT_STARTED, "no daemon answers on %s: %s", path,
				strerror(-run->control));
	r = private_daemon_start(&run->daemon, cli_store_dir(run->store), !run->policy_path,
				 run->debug);
	if (r != CLI_OK)
		return EXIT_NOT_STARTED;
	run->control = client_open(run->daemon.socket);
	if (run->control < 0)
		return cli_fail(EXIT_NOT_STARTED, "the private daemon does not answer: %s",
				strerror(-run->control));
	return CLI_OK;
}

static int make_cgroup(struct run *run)
{
	unsigned char id[8];
	int r = 0;

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return cli_fail(EXIT_NOT_STARTED, "no random numbers: %s", strerror(errno));
	(void)snprintf(run->cgroup, sizeof(run->cgroup),
		       "/weir/run-%02x%02x%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3],
		       id[4], id[5], id[6], id[7]);
	/* Again when another run's end took /weir away between our two steps. */
	for (int i = 0; i < 10 && (r = cgroup_make(run->cgroup, true)) == -ENOENT; i++)
		continue;
	if (r == 0)
		return CLI_OK;
	(void)cli_fail(EXIT_NOT_STARTED, "cannot make the cgroup %s: %s", run->cgroup,
		       strerror(-r));
	run->cgroup[0] = '\0';
	return EXIT_NOT_STARTED;
}

static int attach(struct run *run)
{
	json_t *answer = NULL;
	int r;

	r = client_ask(run->control,
		       json_pack("{ss,ss,ss,sb,sO,sO*}", "command", "attach", "cgroup", run->cgroup,
				 "container", run->name ? run->name : "", "owned", 1, "labels",
				 run->labels, "policy", run->policy),
		       &answer);
	if (r < 0)
		(void)cli_fail(EXIT_NOT_STARTED, "cannot intercept, %s is not started: %s",
			       run->argv[0], r == -EREMOTEIO ? client_error(answer) : strerror(-r));
	json_decref(answer);
	run->attached = r == 0;
	return r == 0 ? CLI_OK : EXIT_NOT_STARTED;
}

/* What sudo changed in the environment and the command would stumble over. */
static int fix_environment(const struct run *run)
{
	static const char *const gone[] = { "SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND" };

	if (!run->user[0])
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		unsetenv(gone[i]);
	if (setenv("USER", run->user, 1) < 0 || setenv("LOGNAME", run->user, 1) < 0 ||
	    setenv("HOME", run->home, 1) < 0)
		return -errno;
	return 0;
}

/* In the child, which is in its cgroup from its first instruction. */
static void __noreturn_fn start(const struct run *run, int report)
{
	int r = 0;

	if (run->uid != getuid() || run->gid != getgid() || run->user[0]) {
		/* Without a passwd entry there are no further groups to be in. */
		if ((run->user[0] ? initgroups(run->user, run->gid) : setgroups(0, NULL)) < 0 ||
		    setresgid(run->gid, run->gid, run->gid) < 0 ||
		    setresuid(run->uid, run->uid, run->uid) < 0)
			r = -errno;
		if (r == 0)
			r = fix_environment(run);
	}
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		signal(forwarded[i], SIG_DFL);
	if (r == 0 && sigprocmask(SIG_SETMASK, &run->old_mask, NULL) < 0)
		r = -errno;
	if (r == 0) {
		execvp(run->argv[0], run->argv);
		r = -errno;
	}
	if (write(report, &r, sizeof(r)) != sizeof(r))
		_exit(EXIT_NOT_STARTED);
	_exit(r == -ENOENT ? EXIT_NOT_FOUND : EXIT_NO_EXEC);
}

/* Starts the command inside of the cgroup: the kernel puts it there when it is born, so there is no
 * instant in which it could connect from outside. */
static int spawn(struct run *run, bool own_group, pid_t *ret_pid, int *ret_report)
{
	_cleanup_(close_p) int dir = cgroup_open(run->cgroup);
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)dir,
	};
	int report[2];
	long pid;

	if (dir < 0)
		return dir;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		if (own_group)
			setpgid(0, 0);
		start(run, report[1]);
	}
	close(report[1]);
	if (pid < 0) {
		pid = -errno;
		close(report[0]);
		return (int)pid;
	}
	*ret_pid = (pid_t)pid;
	*ret_report = report[0];
	return 0;
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/*
 * Waits for the command and passes signals on. Those of the terminal (^C, hang-up) go to its whole
 * foreground group, so the command has them already: only what a process sent to us is passed on.
 */
static int wait_command(pid_t pid, const sigset_t *set)
{
	int status;

	for (;;) {
		siginfo_t si;
		pid_t done = waitpid(pid, &status, WNOHANG);

		if (done == pid)
			return exit_code(status);
		if (done < 0 && errno != EINTR)
			return EXIT_NOT_STARTED;
		if (sigwaitinfo(set, &si) < 0 || si.si_signo == SIGCHLD)
			continue;
		if (si.si_code > 0) /* SI_KERNEL */
			continue;
		(void)kill(pid, si.si_signo); /* not yet waited for: it exists */
	}
}

/* ^C while all was being made ready: the command, which would have got it, does not exist yet. */
static int asked_to_stop(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	sigset_t pending;

	if (sigpending(&pending) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (sigismember(&pending, ends[i]) == 1)
			return 128 + ends[i];
	return 0;
}

static int run_command(struct run *run)
{
	int tty = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int report = -1, error = 0, code, r;
	sigset_t set;
	pid_t pid = 0;

	/* With a terminal the command shares our group, so that job control works on both. */
	r = spawn(run, tty < 0, &pid, &report);
	close_p(&tty);
	if (r < 0)
		return cli_fail(EXIT_NOT_STARTED, "cannot start %s in its cgroup: %s", run->argv[0],
				strerror(-r));
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	if (read(report, &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(report);
	code = wait_command(pid, &set);
	if (error)
		(void)cli_fail(code, "%s: %s", run->argv[0], strerror(-error));
	return code;
}

static void pause_ms(unsigned ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L };

	nanosleep(&t, NULL);
}

/* Ends what the command left running: none of it may outlive the hooks. */
static int end_leftovers(const struct run *run)
{
	_cleanup_(close_p) int fd = cgroup_open(run->cgroup);
	char text[4096];
	ssize_t n;
	int procs;

	if (fd < 0 || cgroup_populated(run->cgroup) <= 0)
		return 0;
	procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	n = procs < 0 ? 0 : read(procs, text, sizeof(text) - 1);
	close_p(&procs);
	text[MAX(n, 0)] = '\0';
	for (char *p = text; *p;) { /* politely first, as far as one read reaches */
		long pid = strtol(p, &p, 10);

		if (pid > 1 && *p == '\n')
			(void)kill((pid_t)pid, SIGTERM);
		while (*p == '\n')
			p++;
	}
	for (unsigned ms = 0; ms < GRACE_MS && cgroup_populated(run->cgroup) > 0; ms += 10)
		pause_ms(10);
	for (unsigned i = 0; i < 200 && cgroup_populated(run->cgroup) > 0; i++) {
		if (cgroup_kill(run->cgroup) < 0)
			return -EBUSY;
		pause_ms(10);
	}
	return cgroup_populated(run->cgroup) > 0 ? -EBUSY : 0;
}

/* /weir goes with the last one in it. */
static void remove_parent(void)
{
	const char *root = bpfctl_cgroup_root();
	char path[4096];

	if (root && snprintf(path, sizeof(path), "%s/weir", root) < (int)sizeof(path))
		(void)rmdir(path); /* -EBUSY: another `weir run` is at work */
}

static void clean_up(struct run *run)
{
	json_t *answer = NULL;
	int r = 0;

	if (run->cgroup[0]) {
		r = end_leftovers(run);
		if (r < 0)
			(void)cli_fail(0,
				       "%s: processes are left and cannot be ended; it stays "
				       "attached",
				       run->cgroup);
	}
	if (run->attached && r == 0) {
		r = client_ask(run->control,
			       json_pack("{ss,ss}", "command", "detach", "cgroup", run->cgroup),
			       &answer);
		json_decref(answer); /* a daemon that is gone leaves the hooks to the next one */
	}
	if (run->cgroup[0]) {
		r = cgroup_remove(run->cgroup);
		if (r < 0)
			(void)cli_fail(0, "%s stays: %s", run->cgroup, strerror(-r));
		remove_parent();
	}
	if (run->control >= 0)
		close(run->control);
	private_daemon_stop(&run->daemon);
	json_decref(run->labels);
	json_decref(run->policy);
}

static int run_main(const struct cli_command *cmd, int argc, char **argv)
{
	struct run run = { .control = -1, .labels = json_object() };
	sigset_t set;
	int r;

	if (!run.labels)
		return cli_fail(EXIT_NOT_STARTED, "out of memory");
	r = parse(cmd, argc, argv, &run);
	if (r != CLI_OK) {
		json_decref(run.labels);
		return r < 0 ? cli_help(cmd) : r;
	}
	if (geteuid() != 0) {
		json_decref(run.labels);
		return cli_fail(EXIT_NOT_STARTED,
				"must be root to attach; try `sudo weir run …` (the "
				"command itself runs as you)");
	}
	/* From here on signals wait, so that nothing is left behind half done. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, &run.old_mask);

	if (run.policy_path && client_policy(run.policy_path, &run.policy) != CLI_OK)
		r = EXIT_NOT_STARTED;
	if (r == CLI_OK)
		r = find_user(&run);
	if (r == CLI_OK)
		r = find_daemon(&run);
	if (r == CLI_OK)
		r = make_cgroup(&run);
	if (r == CLI_OK)
		r = attach(&run);
	if (r == CLI_OK)
		r = asked_to_stop();
	if (r == CLI_OK)
		r = run_command(&run);
	clean_up(&run);
	return r;
}

const struct cli_command cli_cmd_run = {
	.name = "run",
	.args = "[--policy FILE] [--label K=V]… [--name NAME] -- COMMAND…",
	.summary = "run a command behind Weir",
	.help = "Makes a cgroup, attaches it, runs COMMAND in it as the user who called sudo, and "
		"exits as\n"
		"COMMAND did (128+N when signal N ended it, 126 it cannot be executed, 127 there "
		"is no\n"
		"such command, 125 Weir could not intercept and COMMAND was not started). What "
		"COMMAND\n"
		"leaves running is ended. Starts a daemon for itself when none is running.\n"
		"\n"
		"  --policy FILE   the policy for this command, whatever its \"agents\" say; "
		"without,\n"
		"                  that of the daemon's policies (/etc/weir/policy.d) which "
		"matches\n"
		"                  the cgroup /weir/run-…, the name or a label\n"
		"  --label K=V     a label, for policies and for searching; may be repeated\n"
		"  --name NAME     recorded and matched as the container's name\n"
		"  --store DIR     where to record (default $WEIR_STORE or /var/lib/weir/store)\n"
		"  --socket PATH   use this daemon and no other\n"
		"  --private       start a daemon of its own even if one is running\n"
		"  --debug         show what a daemon of its own says\n"
		"\n"
		"Example:\n"
		"  sudo weir run --policy orders.json --label team=billing -- psql -h "
		"db.internal\n",
	.run = run_main,
};
