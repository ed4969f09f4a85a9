// SPDX-License-Identifier: Apache-2.0
#include "glob.h"

static inline uint8_t fold_byte(uint8_t c, enum glob_fold fold)
{
	return fold == GLOB_FOLD_ASCII && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

struct star {
	size_t pattern; /* where the pattern goes on behind the star */
	size_t text;    /* where the text went on when the star was last tried */
	bool seen;
};

bool glob_match(struct slice pat, struct slice text, uint8_t sep, enum glob_fold fold)
{
	struct star one = { 0 }, two = { 0 };
	size_t p = 0, t = 0;

	/* "/a/" "**" is also "/a": match the part before, at its end only. */
	if (sep && pat.len >= 3 && pat.ptr[pat.len - 1] == '*' && pat.ptr[pat.len - 2] == '*' &&
	    pat.ptr[pat.len - 3] == sep &&
	    glob_match(slice_head(pat, pat.len - 3), text, sep, fold))
		return true;

	for (;;) {
		if (p < pat.len && pat.ptr[p] == '*') {
			bool deep = p + 1 < pat.len && pat.ptr[p + 1] == '*';

			while (p < pat.len && pat.ptr[p] == '*')
				p++;
			if (deep) {
				two = (struct star){ p, t, true };
				one.seen = false;
			} else {
				one = (struct star){ p, t, true };
			}
			continue;
		}
		if (t == text.len) {
			if (p == pat.len)
				return true;
		} else if (p < pat.len &&
			   ((pat.ptr[p] == '?' && text.ptr[t] != sep) ||
			    fold_byte(pat.ptr[p], fold) == fold_byte(text.ptr[t], fold))) {
			p++;
			t++;
			continue;
		}
		/* Mismatch: let the nearest star take one byte more, else the nearest deep one. */
		if (one.seen && one.text < text.len && (!sep || text.ptr[one.text] != sep)) {
			t = ++one.text;
			p = one.pattern;
			continue;
		}
		one.seen = false;
		if (two.seen && two.text < text.len) {
			t = ++two.text;
			p = two.pattern;
			continue;
		}
		return false;
	}
}
