SRCS += $(addprefix userspace/proto/http/,body.c chunk.c cloud.c cloud_aws.c cloud_gcp.c cloud_k8s.c \
	cloud_s3.c collect.c facts.c gather.c graphql.c head.c http.c inflate.c json.c op.c path.c \
	refuse.c request.c response.c text.c ws.c)
