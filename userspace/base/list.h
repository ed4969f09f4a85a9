/* SPDX-License-Identifier: Apache-2.0 */
/* An intrusive doubly linked list. A list_node that is in no list points at itself. */
#ifndef WEIR_LIST_H
#define WEIR_LIST_H

#include <stdbool.h>

#include "compiler.h"

struct list_node {
	struct list_node *prev, *next;
};

/* Makes a list head empty, or a node a member of nothing. */
static inline void list_init(struct list_node *n)
{
	n->prev = n->next = n;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

/* Puts n (a member of nothing) at the end. */
static inline void list_append(struct list_node *head, struct list_node *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Puts n (a member of nothing) at the front. */
static inline void list_prepend(struct list_node *head, struct list_node *n)
{
	list_append(head->next, n);
}

/* Takes n out; harmless when it is in no list. */
static inline void list_remove(struct list_node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* Moves all of `from` to `to`, which must be empty. */
static inline void list_take(struct list_node *from, struct list_node *to)
{
	if (list_empty(from))
		return;
	*to = *from;
	to->prev->next = to->next->prev = to;
	list_init(from);
}

/* Walks the nodes; the current one may be removed inside of the loop. */
#define list_foreach(node, head)                                                               \
	for (struct list_node *node = (head)->next, *next_##node = node->next; node != (head); \
	     node = next_##node, next_##node = node->next)

#endif
