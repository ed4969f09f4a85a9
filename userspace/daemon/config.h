/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon is told: by /etc/weir/weir.json, then by its options, which win. */
#ifndef WEIR_DAEMON_CONFIG_H
#define WEIR_DAEMON_CONFIG_H

#include <stdbool.h>

#include "compiler.h"

#define DAEMON_CONFIG_FILE "/etc/weir/weir.json"
#define DAEMON_POLICY_DIR "/etc/weir/policy.d"
#define DAEMON_RUNTIME_DIR "/run/weir"
#define DAEMON_STORE_DIR "/var/lib/weir/store"

enum {
	DAEMON_FILE_MAX = 1024 * 1024, /* bytes of the configuration file */
	DAEMON_POLICIES_MAX = 256,     /* files and directories that may be named */
	DAEMON_WORKERS_MAX = 64,
	/* The proxy's user where there is no "weir" in passwd: above what adduser and the usual
	 * containers hand out, and in the one stretch below nobody (60578 to 61183) from which
	 * systemd takes no ids for services, homes or sessions. */
	DAEMON_FALLBACK_ID = 61017,
	DAEMON_NOTIFIER_FALLBACK_ID = 61018, /* the notifier's, without a "weir-notify" in passwd */
	DAEMON_WEBHOOKS_MAX = 16,
};

/* Who is told of operations on hold. */
struct daemon_webhook {
	char *name, *url;
	char *secret; /* file with the key that signs */
	char *ca;     /* file with certificates to trust in place of the system's; NULL = none */
	bool slack;   /* "format": "slack" */
	bool held, settled; /* "events" */
};

struct daemon_config {
	char *store; /* all of these are heap strings and never NULL after _init */
	char *socket;
	char *runtime_dir;
	char *user; /* name or number; "" = "weir" if there is one, else DAEMON_FALLBACK_ID */
	char *control_group; /* name or number; "" = the control socket is root's alone */
	char **policies;     /* files and directories; none = DAEMON_POLICY_DIR if it exists */
	unsigned n_policies;
	bool policies_given; /* also when the list is empty */
	unsigned workers;    /* 1 to DAEMON_WORKERS_MAX */
	bool sync_each;      /* record.sync: "operation" */
	bool debug;
	bool detach_on_exit;
	int ready_fd;                    /* gets a byte when all is up; -1 = none */
	struct daemon_webhook *webhooks; /* n_webhooks of them */
	unsigned n_webhooks;
	/* "answers": where they are taken. NULL = nowhere. Without webhooks there are none. */
	char *answers_socket;
	char *answers_group;   /* name or number of who may connect; "" = root's */
	unsigned answers_mode; /* of the socket */
};

struct daemon_config_err {
	char message[512]; /* no newline */
};

/* Defaults. 0 or -ENOMEM. */
int daemon_config_init(struct daemon_config *c) __must_check;
void daemon_config_done(struct daemon_config *c);
/*
 * Reads a file over what is there. 0; -ENOENT there is no such file; -EINVAL bad JSON, an unknown key,
 * a wrong type or range; -EMSGSIZE; -ENOMEM; reads' own. *reterr is set on all but -ENOENT.
 */
int daemon_config_load(struct daemon_config *c, const char *path,
		       struct daemon_config_err *reterr) __must_check;
/* One more in the list of policies. 0, -ENOMEM, -EMSGSIZE too many. */
int daemon_config_add_policy(struct daemon_config *c, const char *path) __must_check;
/* Replaces one of the strings. 0 or -ENOMEM. */
int daemon_config_set(char **field, const char *value) __must_check;

#endif
