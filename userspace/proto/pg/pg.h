/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PostgreSQL wire protocol, version 3. What is understood, refused and where it deviates is in
 * docs/protocols/postgres.md. The shared state of a thread is its cache of SQL facts.
 */
#ifndef WEIR_PG_H
#define WEIR_PG_H

#include "proto.h"

extern const struct proto_class proto_pg;

#endif
