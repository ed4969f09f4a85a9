SRCS += $(addprefix userspace/proto/http/,body.c chunk.c collect.c head.c http.c op.c path.c \
	refuse.c request.c response.c ws.c)
