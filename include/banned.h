/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that cannot be used safely become compile errors. Use buf_*, slice_*, snprintf
 * with a checked result, strtok_r, strtol with checks.
 */
#ifndef WEIR_BANNED_H
#define WEIR_BANNED_H

/* Declare before poisoning, or the system headers themselves would trip over it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets
#undef alloca
#pragma GCC poison strtok atoi atol atoll atof alloca
#pragma GCC poison asctime ctime gmtime localtime
#pragma GCC poison tmpnam tempnam mktemp

#endif
