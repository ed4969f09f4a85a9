# One object, so that all hooks share one set of maps: weir.bpf.c includes the hook files.
BPF_SRCS := bpf/weir.bpf.c
