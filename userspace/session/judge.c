// SPDX-License-Identifier: Apache-2.0
#include "session.h"

void judge(struct session *s, const struct op *op, struct verdict *ret, struct verdict *ret_recorded)
{
	struct verdict v;

	if (!s->target) {
		/* No target: nobody was dialled, so nothing can pass, observed or not. */
		v = (struct verdict){ .kind = VERDICT_BLOCK,
				      .rule = "no-target",
				      .message =
					      "No target of the policy allows this destination." };
		*ret = *ret_recorded = v;
		return;
	}
	policy_decide(s->agent->policy, s->target, &s->rec.identity, op, NULL, 0, &v);
	*ret_recorded = v;
	if (s->rec.observed) {
		v.kind = VERDICT_ALLOW;
	} else if (v.kind == VERDICT_HOLD) {
		/* Fail closed: an approval that cannot be asked is a refusal. */
		v.kind = VERDICT_BLOCK;
		if (!v.message)
			v.message = "This needs an approval, and none can be asked for here.";
	}
	*ret = v;
}
