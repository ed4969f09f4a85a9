/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opaque TCP: for targets whose policy says "protocol": "tcp". The connection as a whole is one
 * operation, verb CONNECT, effects network and unknown, present from create on, so that it is judged
 * even when the server speaks first. Nothing is taken before the verdict. After allow both
 * directions are relayed untouched, with DATA up to limits.record_max each. When both ends have
 * closed, a RESULT says how many bytes went each way (bytes_to_server, bytes_to_client), then END.
 * Any other verdict is END with nothing sent. Never sniffed.
 *
 * After an eof the driver passes the half-close on once that direction's output is written.
 */
#ifndef WEIR_PROTO_TCP_H
#define WEIR_PROTO_TCP_H

#include "proto.h"

extern const struct proto_class proto_tcp;

#endif
