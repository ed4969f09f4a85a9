SRCS += $(addprefix userspace/session/,agents.c approvals.c approvals_json.c classes.c container.c hold.c judge.c names.c programs.c record.c session.c worker.c)
