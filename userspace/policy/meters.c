// SPDX-License-Identifier: Apache-2.0
/*
 * Rates and quotas of one session. A window is counted in slices, eight of which cover it whole and
 * the current one in part: what has left the window may count for a seventh of it longer, what is in
 * it is never forgotten.
 */
#include "compiled.h"

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t slice_length(const struct meter *spec)
{
	return (spec->per_ns + POLICY_METER_SLICES - 2) / (POLICY_METER_SLICES - 1);
}

uint64_t policy_meter_key(const struct rule *r, const struct meter *m)
{
	uint64_t h = index_hash(slice_str(r->id));

	return (h ^ m->per_ns * 0x9e3779b97f4a7c15ULL) * 0x100000001b3ULL + m->measure + 1;
}

void policy_session_bind(struct policy_session *ps, const struct policy *p)
{
	struct policy_meter old[POLICY_METERS_MAX];
	size_t n_old = ps->_n_meters;

	if (ps->_serial == p->serial)
		return;
	memcpy(old, ps->_meters, n_old * sizeof(*old));
	for (size_t i = 0; i < p->n_meters; i++) {
		const struct meter *spec = &p->meters[i];
		struct policy_meter *m = &ps->_meters[i];

		*m = (struct policy_meter){ .key = spec->key,
					    .slice_ns = slice_length(spec),
					    .measure = spec->measure };
		for (size_t k = 0; k < n_old; k++)
			if (old[k].key == spec->key && old[k].measure == spec->measure &&
			    old[k].slice_ns == m->slice_ns)
				*m = old[k];
		/* A quota on answers is for the whole session, whenever the rule came. */
		if (!spec->per_ns && spec->measure != MEASURE_OPS)
			m->counts[0] = spec->measure == MEASURE_ROWS ? ps->rows : ps->bytes;
	}
	ps->_n_meters = p->n_meters;
	ps->_serial = p->serial;
}

/* Forgets the slices that time has passed over. */
static void meter_turn(struct policy_meter *m, uint64_t now_ns)
{
	uint64_t slice = m->slice_ns ? now_ns / m->slice_ns : 0;

	if (slice <= m->slice)
		return; /* now, or a clock that went back: counted as now */
	for (uint64_t i = 1; i <= MIN(slice - m->slice, (uint64_t)POLICY_METER_SLICES); i++)
		m->counts[(m->slice + i) % POLICY_METER_SLICES] = 0;
	m->slice = slice;
}

void policy_meter_add(struct policy_meter *m, uint64_t n, uint64_t now_ns)
{
	uint64_t *count;

	meter_turn(m, now_ns);
	count = &m->counts[m->slice_ns ? m->slice % POLICY_METER_SLICES : 0];
	*count = add_capped(*count, n);
}

bool policy_meter_over(const struct meter *spec, struct policy_meter *m, uint64_t now_ns)
{
	uint64_t sum = 0;

	meter_turn(m, now_ns);
	for (size_t i = 0; i < POLICY_METER_SLICES; i++)
		sum = add_capped(sum, m->counts[i]);
	/* An operation is counted before it is judged; answers were before. */
	return spec->measure == MEASURE_OPS ? sum > spec->limit : sum >= spec->limit;
}

void policy_session_result(struct policy_session *ps, uint64_t bytes, uint64_t rows,
			   uint64_t now_ns)
{
	ps->bytes = add_capped(ps->bytes, bytes);
	ps->rows = add_capped(ps->rows, rows);
	for (size_t i = 0; i < ps->_n_meters; i++) {
		struct policy_meter *m = &ps->_meters[i];

		if (m->measure != MEASURE_OPS)
			policy_meter_add(m, m->measure == MEASURE_ROWS ? rows : bytes, now_ns);
	}
}
