SRCS += $(addprefix userspace/policy/,agents.c conditions.c decide.c index.c json_place.c load.c \
	pattern.c rules.c set.c targets.c)
