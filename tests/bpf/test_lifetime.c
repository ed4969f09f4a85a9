// SPDX-License-Identifier: Apache-2.0
/* Pins and links: what outlives the daemon, what ends with a cgroup, and that nothing is left over. */
#include "bpf/lab.h"

#include <dirent.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

static const struct dial db = { .ip = "203.0.113.9", .port = 5432 };

static int dial_db(void *arg)
{
	return dial_run((void *)&db);
}

static void daemon_dies(void)
{
	lab.b = bpfctl_close(lab.b);
	close_p(&lab.listen4);
	close_p(&lab.listen6);
}

static void daemon_starts(void)
{
	lab_reopen();
	lab.listen4 = lab_listen(AF_INET);
	lab.listen6 = lab_listen(AF_INET6);
	lab_register();
}

static void test_pins_outlive_the_daemon(void **state)
{
	struct weir_flow f;
	__u64 id = 0;

	daemon_dies();
	assert_int_equal(agent(dial_db, NULL), EPERM);
	daemon_starts();
	assert_int_equal(lab_count(WEIR_CNT_NO_LISTENER), 1); /* counted while nobody was there */
	assert_int_equal(bpfctl_attached(lab.b, &id, 1), 1);
	assert_int_equal(id, lab.id);
	assert_int_equal(agent(dial_db, NULL), 0);
	assert_int_equal(lab_take(lab.listen4, &f), 0);
}

/* A daemon of its own process that is killed, not one that closes in order. */
static int loader_run(void *arg)
{
	struct bpfctl_config cfg = { .pin_dir = lab.pins };
	struct bpfctl *b;

	if (bpfctl_open(&cfg, &b, NULL) || bpfctl_attach(b, lab.dir_fd, lab.id, NULL))
		return 1;
	return kill(getpid(), SIGKILL);
}

static void test_killed_loader(void **state)
{
	assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
	daemon_dies();
	assert_int_equal(agent_wait(agent_start(NULL, loader_run, NULL)), 128 + SIGKILL);
	assert_int_equal(agent(dial_db, NULL), EPERM);
	daemon_starts();
	assert_int_equal(agent(dial_db, NULL), 0);
}

/* Existing sockets keep their peer name over a restart. */
static int keeper_run(void *arg)
{
	struct sockaddr_storage to, peer;
	socklen_t len = sa(db.ip, db.port, &to), n = sizeof(peer);
	int *pipes = arg, fd = socket(AF_INET, SOCK_STREAM, 0);
	char c = 0;

	if (connect(fd, (struct sockaddr *)&to, len) || write(pipes[1], &c, 1) != 1 ||
	    read(pipes[2], &c, 1) != 1)
		return 1;
	if (getpeername(fd, (struct sockaddr *)&peer, &n))
		return errno;
	return memcmp(&peer, &to, len) == 0 ? 0 : 126;
}

static __u32 prog_id_of(const char *hook)
{
	union bpf_attr attr = { 0 };
	struct bpf_link_info info = { 0 };
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/links/%llu/%s", lab.pins, lab.id, hook);
	attr.pathname = (__u64)(uintptr_t)path;
	fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	assert_true(fd >= 0);
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (__u32)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (__u64)(uintptr_t)&info;
	assert_int_equal(syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)), 0);
	close(fd);
	return info.prog_id;
}

static void test_adoption_updates_the_programs(void **state)
{
	static const char *const hooks[] = { "connect4",     "connect6",     "sockops",
					     "getpeername4", "getpeername6", "sock_create" };
	__u32 before[ARRAY_SIZE(hooks)];
	int there[2], back[2], pipes[4];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe2(there, O_CLOEXEC), 0);
	assert_int_equal(pipe2(back, O_CLOEXEC), 0);
	memcpy(pipes, there, sizeof(there));
	memcpy(pipes + 2, back, sizeof(back));
	pid = agent_start(lab.cgroup, keeper_run, pipes);
	assert_int_equal(read(there[0], &c, 1), 1);
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		before[i] = prog_id_of(hooks[i]);
	lab.b = bpfctl_close(lab.b);
	lab_reopen();
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		assert_int_not_equal(prog_id_of(hooks[i]), before[i]);
	assert_int_equal(write(back[1], &c, 1), 1);
	assert_int_equal(agent_wait(pid), 0);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
}

/* Killed between two pins: the next daemon completes it. */
static void test_half_attached_is_completed(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/links/%llu/connect4", lab.pins, lab.id);
	assert_int_equal(unlink(path), 0);
	usleep(100000); /* the kernel takes the link off behind our back */
	lab.b = bpfctl_close(lab.b);
	lab_reopen();
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(agent(dial_db, NULL), 0);
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 1);
}

static void test_one_daemon_at_a_time(void **state)
{
	struct bpfctl_config cfg = { .pin_dir = lab.pins };
	struct bpfctl_err err = { "" };
	struct bpfctl *other = NULL;

	assert_int_equal(bpfctl_open(&cfg, &other, &err), -EBUSY);
	assert_null(other);
	assert_non_null(strstr(err.message, lab.pins));
}

static int unprivileged_run(void *arg)
{
	struct bpfctl_err err = { "" };

	if (setresuid(65534, 65534, 65534))
		return 1;
	if (bpfctl_supported(&err) != -EPERM)
		return 2;
	return strstr(err.message, "CAP_BPF") ? 0 : 3;
}

static void test_missing_capability_is_named(void **state)
{
	assert_int_equal(agent(unprivileged_run, NULL), 0);
}

static void test_foreign_pin_dir_is_refused(void **state)
{
	struct bpfctl_config cfg = { .pin_dir = lab.pins };
	struct bpfctl_err err = { "" };
	struct bpfctl *b = NULL;

	daemon_dies();
	assert_int_equal(chmod(lab.pins, 0777), 0);
	assert_int_equal(bpfctl_open(&cfg, &b, &err), -EPERM);
	assert_int_equal(chmod(lab.pins, 0700), 0);
	cfg.pin_dir = "relative";
	assert_int_equal(bpfctl_open(&cfg, &b, &err), -EINVAL);
	daemon_starts();
}

static void test_detach_restores(void **state)
{
	assert_int_equal(agent(dial_db, NULL), 0);
	assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
	assert_int_equal(bpfctl_detach(lab.b, lab.id), -ENOENT);
	assert_int_equal(agent(dial_db, NULL), ENETUNREACH); /* the kernel's own answer */
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 1);
	lab_attach();
	lab_attach(); /* attached twice is attached */
	assert_int_equal(bpfctl_attached(lab.b, NULL, 0), 1);
	assert_int_equal(agent(dial_db, NULL), 0);
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 2);
}

/* Somebody else's exclusive program on one hook: none of ours stays. */
static void test_attach_is_all_or_nothing(void **state)
{
	union bpf_attr attr = { .prog_id = prog_id_of("connect6") };
	int prog = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));
	char path[PATH_MAX + 16];
	struct bpfctl_err err = { "" };
	__u64 id;
	int fd;

	assert_true(prog >= 0);
	snprintf(path, sizeof(path), "%s-taken", lab.cgroup);
	fd = lab_cgroup(path, &id);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (__u32)fd;
	attr.attach_bpf_fd = (__u32)prog;
	attr.attach_type = BPF_CGROUP_INET6_CONNECT;
	assert_int_equal(syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)), 0);
	assert_int_equal(bpfctl_attach(lab.b, fd, id, &err), -EPERM);
	assert_non_null(strstr(err.message, "connect6"));
	assert_int_equal(bpfctl_attached(lab.b, NULL, 0), 1);
	assert_int_equal(agent_wait(agent_start(path, dial_db, NULL)), ENETUNREACH);
	assert_int_equal(lab_count(WEIR_CNT_REDIRECTED), 0);
	/* Once it is gone, ours go on. */
	assert_int_equal(syscall(SYS_bpf, BPF_PROG_DETACH, &attr, sizeof(attr)), 0);
	if (bpfctl_attach(lab.b, fd, id, &err))
		fail_msg("%s", err.message);
	assert_int_equal(agent_wait(agent_start(path, dial_db, NULL)), 0);
	close(fd);
	close(prog);
	assert_int_equal(rmdir(path), 0);
}

static void test_wrong_directories(void **state)
{
	struct bpfctl_err err = { "" };
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int root = open(bpfctl_cgroup_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__u64 id = 0;

	assert_int_equal(bpfctl_attach(lab.b, fd, 1, &err), -EMEDIUMTYPE);
	assert_int_equal(bpfctl_attach(lab.b, lab.dir_fd, lab.id + 1, &err), -ESTALE);
	assert_int_equal(bpfctl_cgroup_id(root, &id), 0);
	/* We are somewhere below the root. */
	assert_int_equal(bpfctl_attach(lab.b, root, id, &err), -ELOOP);
	assert_int_equal(bpfctl_attached(lab.b, NULL, 0), 1);
	close(fd);
	close(root);
}

static void test_cgroup_removed_while_attached(void **state)
{
	char path[PATH_MAX];
	int swept = 0;

	assert_int_equal(bpfctl_cgroup_path(lab.id, path, sizeof(path)), 0);
	assert_int_equal(strncmp(path, "/weir-test-", 11), 0);
	assert_int_equal(bpfctl_sweep_cgroups(lab.b), 0); /* alive: not touched */
	close_p(&lab.dir_fd);
	assert_int_equal(rmdir(lab.cgroup), 0);
	assert_int_equal(bpfctl_cgroup_path(lab.id, path, sizeof(path)), -ENOENT);
	for (int i = 0; i < 100 && !swept; i++) {
		usleep(50000); /* the kernel releases it when it pleases */
		swept = bpfctl_sweep_cgroups(lab.b);
	}
	assert_int_equal(swept, 1);
	assert_int_equal(bpfctl_attached(lab.b, NULL, 0), 0);
	assert_int_equal(bpfctl_detach(lab.b, lab.id), -ENOENT);
}

static void test_restart_after_the_cgroup_went(void **state)
{
	daemon_dies();
	close_p(&lab.dir_fd);
	assert_int_equal(rmdir(lab.cgroup), 0);
	usleep(300000);
	daemon_starts();
	assert_in_range(bpfctl_attached(lab.b, NULL, 0), 0, 1);
	if (bpfctl_attached(lab.b, NULL, 0) ==
	    1) /* not let go of yet: detaching works all the same */
		assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
}

static void test_cgroup_path(void **state)
{
	char deep[PATH_MAX + 64], path[PATH_MAX], tiny[8];
	int root = open(bpfctl_cgroup_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	__u64 id;

	assert_int_equal(bpfctl_cgroup_id(root, &id), 0);
	assert_int_equal(bpfctl_cgroup_path(id, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	close(root);
	snprintf(deep, sizeof(deep), "%s/odd (deleted)", lab.cgroup);
	fd = lab_cgroup(deep, &id);
	assert_int_equal(bpfctl_cgroup_path(id, path, sizeof(path)), 0);
	assert_string_equal(path, deep + strlen(bpfctl_cgroup_root()));
	assert_int_equal(bpfctl_cgroup_path(id, tiny, sizeof(tiny)), -ENAMETOOLONG);
	close(fd);
	assert_int_equal(rmdir(deep), 0);
	assert_int_equal(bpfctl_cgroup_path(id, path, sizeof(path)), -ENOENT);
	assert_int_equal(bpfctl_cgroup_path(0x7fffffffffffULL, path, sizeof(path)), -ENOENT);
}

static int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* How many links of the kernel's there are. */
static int count_links(void)
{
	union bpf_attr attr = { 0 };
	int n = 0;

	while (syscall(SYS_bpf, BPF_LINK_GET_NEXT_ID, &attr, sizeof(attr)) == 0) {
		attr.start_id = attr.next_id;
		n++;
	}
	return n;
}

static void test_many_times_leaks_nothing(void **state)
{
	int fds = count_fds(), links, left = 0;

	assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
	usleep(200000);
	links = count_links();
	for (int i = 0; i < 10000; i++) {
		lab_attach();
		assert_int_equal(bpfctl_detach(lab.b, lab.id), 0);
	}
	assert_int_equal(count_fds(), fds);
	assert_int_equal(bpfctl_attached(lab.b, NULL, 0), 0);
	/* Others on the machine may attach something meanwhile, but not thousands. */
	for (int i = 0; i < 100 && (left = count_links()) > links + 50; i++)
		usleep(50000);
	assert_in_range(left, 0, links + 50);
	lab_attach();
	assert_int_equal(agent(dial_db, NULL), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, lab_setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_pins_outlive_the_daemon),
		T(test_killed_loader),
		T(test_adoption_updates_the_programs),
		T(test_half_attached_is_completed),
		T(test_one_daemon_at_a_time),
		T(test_missing_capability_is_named),
		T(test_foreign_pin_dir_is_refused),
		T(test_detach_restores),
		T(test_attach_is_all_or_nothing),
		T(test_wrong_directories),
		T(test_cgroup_removed_while_attached),
		T(test_restart_after_the_cgroup_went),
		T(test_cgroup_path),
		T(test_many_times_leaks_nothing),
	};

	lab_require();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
