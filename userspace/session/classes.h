/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that this binary has. A new protocol is one more line in classes.c. */
#ifndef WEIR_SESSION_CLASSES_H
#define WEIR_SESSION_CLASSES_H

#include "proto.h"

enum { PROTO_CLASSES = 3, SNIFF_MAX = 64 /* bytes looked at to tell protocols apart */ };
extern const struct proto_class *const proto_classes[PROTO_CLASSES];

/* Index of a class by the name that policies use, or -1. */
int proto_class_index(const char *name);
/* Index of the class that knows these first bytes; -EAGAIN more are needed; -ENOENT none does. */
int proto_class_sniff(struct slice head);

/* A plain byte stream: it may go on in one direction after the other has ended. */
/* Each request stands for itself, so that the next may go over another connection. */
bool proto_class_is_stateless(const struct proto_class *c);
bool proto_class_is_stream(const struct proto_class *c);

#endif
