/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds any protocol handler to the promises of include/proto.h. A script says who sends what, in
 * which order, and which operations are denied; harness_check plays it in every chunking that is
 * worth trying and compares. No cmocka in here, so fuzz targets use it as well.
 *
 * Use in a unit test:
 *
 *	static const struct harness_step steps[] = {
 *		{ DIR_TO_SERVER, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false },
 *		{ DIR_TO_CLIENT, SLICE("HTTP/1.1 204 No Content\r\n\r\n"), false },
 *	};
 *	struct harness_script s = { .class = &proto_http, .steps = steps, .n_steps = 2 };
 *	assert_int_equal(harness_check(&s), 0);
 *
 * Golden files: assert_int_equal(harness_golden(&proto_http, "tests/golden/http"), 0). Their form:
 *
 *	# a comment
 *	deny 2			the second OP or OPAQUE that appears is answered with block
 *	hold 3			the third is answered with hold (a handler must treat it like block)
 *	limit out_max 4096	any member of struct proto_limits
 *	foreign			output need not equal input though all is allowed
 *	partial			the end of the input may be held back
 *	> GET / HTTP/1.1\r\n	bytes from the client; \r \n \t \0 \xNN \\ are escapes
 *	> \r\n			consecutive lines of one direction are one step; an empty line ends it
 *	< HTTP/1.1 …		bytes from the server
 *	>eof			the client sends no more
 *	---
 *	the expected log, exactly as harness_run writes it
 *
 * WEIR_GOLDEN_UPDATE=1 in the environment rewrites what stands below "---": read the diff.
 *
 * The log: "step N > M bytes" opens each step; then events, each with its attributes indented below
 * it; DATA comes joined, with its range in the stream of that operation and direction; "out" lines
 * say what each direction had to write at the end of the step ("= in" when that is exactly what the
 * step brought in); "error" has the code, direction, stream offset, rule and clause.
 */
#ifndef WEIR_TEST_PROTO_HARNESS_H
#define WEIR_TEST_PROTO_HARNESS_H

#include "base/buf.h"
#include "proto.h"

struct harness_step {
	enum dir dir; /* who receives: DIR_TO_SERVER = the client sends these bytes */
	struct slice bytes;
	bool eof; /* after the bytes, this sender sends no more */
};

struct harness_script {
	const struct proto_class *class;
	const struct proto_limits *limits; /* NULL = PROTO_LIMITS_DEFAULT */
	const struct harness_step *steps;
	size_t n_steps;
	/* Ordinals, 1 = the first OP or OPAQUE event that appears. */
	const unsigned *deny;
	size_t n_deny;
	const unsigned *hold; /* answered with VERDICT_HOLD */
	size_t n_hold;
	const char *rule, *message; /* of the denials; NULL = "test-rule", "denied by the test" */
	/* The handler answers some things itself (SSLRequest), so output differs from input though
	 * nothing was denied: promise 2 is not checked. */
	bool foreign;
	/* The script may stop in the middle of a message, so the end of the input may be held back;
	 * what does come out must still be the input. */
	bool partial;
	/* Text that must never be seen by the server while an operation is undecided or denied: put
	 * it in the denied operations' bytes. Promise 3. May be empty. */
	struct slice secret;
};

/* How a script is played. All zero: whole steps, verdicts at once, output drained at once. */
struct harness_mode {
	size_t split;       /* one cut after that many bytes fed in all; 0 = none */
	size_t chunk;       /* pieces of that size; 0 = whole */
	uint64_t seed;      /* pieces of random size 1..17; 0 = off */
	bool late;          /* verdicts only when nothing else moves */
	bool clogged;       /* output is drained only when nothing else moves */
	unsigned undecided; /* this ordinal is never answered; 0 = none */
};

/* What came of it. */
struct harness_run {
	struct buf log;
	struct buf out[2];  /* all output, by direction */
	unsigned n_ops;     /* OP and OPAQUE events seen */
	size_t before[64];  /* bytes out to the server when ordinal i+1 appeared */
	size_t peak_out[2]; /* largest undrained output */
	int error;          /* 0 or the sticky error */
	struct parse_err err;
	bool ended;     /* END was seen */
	size_t left[2]; /* bytes never taken */
	bool oom;       /* create, feed, eof or decide said -ENOMEM */
};

void harness_run_init(struct harness_run *r);
void harness_run_done(struct harness_run *r);
/* Plays once. 0; -1 when the handler breaks the contract, explained on stderr. */
int harness_run(const struct harness_script *s, const struct harness_mode *m,
		struct harness_run *r) __must_check;

/* Plays in all chunkings and checks promises 1, 2, 3, 5, 6. 0, or -1 explained on stderr. */
int harness_check(const struct harness_script *s) __must_check;
/* The same with fewer chunkings: for fuzzing, and for scripts beyond some kilobytes. */
int harness_check_quick(const struct harness_script *s) __must_check;

/* Plays with each allocation failing in turn (needs a program linked with the wrapped allocator):
 * pass to alloc_fail_each with a harness_script as ctx. */
int harness_alloc_scenario(void *script);

/* All golden files of a folder: harness_check plus the expected log. Number of bad files, or -1
 * when there is none to read. */
int harness_golden(const struct proto_class *class, const char *folder) __must_check;

/*
 * For fuzz targets: plays any bytes as a script and aborts when a promise is broken. The bytes are a
 * list of pieces: one byte with the direction in bit 0 (1 = from the server), eof in bit 1, and in
 * bit 2 that the n-th operation is denied, n being the piece's number; a 16-bit big-endian length;
 * that many bytes of the stream. lim small, so that small inputs meet the limits.
 */
void harness_fuzz(const struct proto_class *class, const struct proto_limits *lim,
		  const uint8_t *data, size_t size);
/* Is each golden file's script a seed of that form, of the same name without ".txt", in corpus?
 * Number of those that are not; -1 when there are no golden files. WEIR_GOLDEN_UPDATE=1 writes. */
int harness_seeds(const struct proto_class *class, const char *golden,
		  const char *corpus) __must_check;

/*
 * One golden file's text as a script, in memory that golden_script_done frees. 0; -1 when it is
 * malformed (explained on stderr). *ret_expect is what stands below "---".
 */
struct golden_script {
	struct harness_script script;
	struct proto_limits limits;
	struct harness_step steps[64];
	unsigned deny[32], hold[32];
	uint8_t *bytes;
	struct slice expect;
	size_t head_len; /* of the file, through the line "---" */
};
int golden_script_parse(const struct proto_class *class, struct slice text, const char *name,
			struct golden_script *ret) __must_check;
/* Call where g has come to rest, before its script is used: the script points into g itself. */
void golden_script_wire(struct golden_script *g);
void golden_script_done(struct golden_script *g);

/* A whole file in memory that the caller frees; NULL with errno. */
uint8_t *harness_file_read(const char *path, size_t *ret_len) __must_check;

#endif
