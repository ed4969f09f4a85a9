/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.0 and 1.1: RFC 9110, RFC 9112; WebSocket by its frames (RFC 6455). What is implemented,
 * refused and read differently stands in docs/protocols/http.md.
 *
 * An operation is a request head. Verb: the method. Effects by method; `unknown` beside them where
 * servers could read the path differently, where a header overrides method or path, for unknown
 * methods, and for requests that may end HTTP on the connection (CONNECT, Upgrade: `network` too).
 * Objects: path (normalised) and host. Attributes, as far as they are there: path raw_path query
 * path_ambiguous host port scheme version content_type content_length chunked user_agent upgrade
 * expect method_override url_override auth (the scheme, never the credential). text: the head, the
 * values of credentials replaced by ***. norm: method, host and path with identifiers as '*'.
 *
 * More of them, told in docs/protocols/http.md: query_ambiguous body_bytes body_ambiguous body_cut
 * host_checked (once tell_peer has said who it is), graphql_type graphql_name graphql_batch
 * graphql_persisted; cloud service action resource name subresource namespace region project.
 * Objects also: field (GraphQL root fields), secret. headers, queries, query and body as in op.h.
 *
 * With limits.body_max, bodies of JSON, forms and GraphQL are held until they are complete, and the
 * operation is given then; output then comes in pieces of up to limits.out_max, so drain until
 * peek_out is empty. Any other body follows only after allow; DATA is its content without framing, in both directions. RESULT
 * has status reason content_type headers request_bytes bytes, for WebSocket frames_to_server and
 * frames_to_client, and interrupted=true where the answer never came or broke off. Interim responses
 * are NOTEs with their status. After an upgrade to WebSocket, DATA is the frames as sent. Any other
 * upgrade, and a CONNECT that is taken up, is OPAQUE with the operation's id, and its answer waits.
 *
 * Drivers: what a client sends behind Upgrade, CONNECT or "Connection: close" is not taken until the
 * server has answered, so offer the rest again after bytes of the other direction too. Pull events
 * before consume_out: DATA lies in the output. After END bytes are taken and dropped, so that a
 * driver can read on until the client has seen a refusal. In a relay, END comes when both
 * directions have ended: pass a half-close on once that direction's output is written.
 */
#ifndef WEIR_PROTO_HTTP_H
#define WEIR_PROTO_HTTP_H

#include "proto.h"

extern const struct proto_class proto_http;

#endif
