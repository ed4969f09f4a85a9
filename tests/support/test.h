/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka test needs, in the order that cmocka.h asks for. */
#ifndef WEIR_TEST_H
#define WEIR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/alloc.h"

#endif
