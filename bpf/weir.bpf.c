// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The object that userspace loads: every hook in one, because they share their maps. Read the files
 * in this order: flow.bpf.h (the decisions), maps.bpf.h, then the hooks.
 *
 *   connect.bpf.c      cgroup/connect4|6      sends a connect(2) to Weir's listener, or refuses it
 *   sockops.bpf.c      sockops                hands the flow record over by four-tuple
 *   getpeername.bpf.c  cgroup/getpeername4|6  shows the agent the server it asked for
 *   create.bpf.c       cgroup/sock_create     no stream sockets that connect4|6 do not see
 */
#include "kernel.bpf.h"
#include "maps.bpf.h"
#include "flow.bpf.h"

#include "connect.bpf.c"
#include "sockops.bpf.c"
#include "getpeername.bpf.c"
#include "create.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
