SRCS += $(addprefix userspace/policy/,agents.c compose.c conditions.c decide.c functions.c index.c \
	json_path.c json_place.c keyed.c load.c meters.c pattern.c reach.c regex.c rules.c set.c \
	targets.c)
