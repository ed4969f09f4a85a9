/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read the configuration. */
#ifndef WEIR_DAEMON_CONFIG_INT_H
#define WEIR_DAEMON_CONFIG_INT_H

#include <jansson.h>

#include "daemon/config.h"

/* Sets the message; returns status. */
int config_fail(struct daemon_config_err *e, int status, const char *fmt, ...) __printf_like(3, 4);

/* "webhooks" and "answers", anew. 0; -EINVAL, -ENOMEM with *e. */
int config_take_webhooks(struct daemon_config *c, const json_t *v,
			 struct daemon_config_err *e) __must_check;
int config_take_answers(struct daemon_config *c, const json_t *v,
			struct daemon_config_err *e) __must_check;
void config_webhooks_free(struct daemon_config *c);

#endif
