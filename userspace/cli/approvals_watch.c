// SPDX-License-Identifier: Apache-2.0
/*
 * `weir approvals --watch`: what waits, on a screen that stays up to date. Plain escape sequences of
 * the kind that every terminal since the VT100 knows. Whatever happens, the terminal gets back what
 * it had.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/approvals.h"
#include "cli/output.h"

enum {
	REFRESH_MS = 1000,
	SCREEN_MAX = 1024 * 1024, /* bytes of one picture */
	REASON_MAX = 400,
	ROWS_MIN = 6,
	COLS_MIN = 40,
};

#define ENTER "\033[?1049h\033[?25l" /* the other screen, no cursor */
#define LEAVE "\033[?25h\033[?1049l"

enum mode { MODE_LIST, MODE_ONE, MODE_REASON };

struct screen {
	const char *socket;
	int fd;               /* of the daemon; -1 = none */
	json_t *answer;       /* of "approvals" */
	char selected[64];    /* id; "" = none */
	enum mode mode, back; /* back: where MODE_REASON came from */
	char *all;            /* MODE_ONE: the text */
	unsigned top;         /* MODE_ONE: first line shown */
	bool allow;           /* MODE_REASON */
	char reason[REASON_MAX + 1];
	size_t reason_len;
	char status[600];
	unsigned rows, cols;
	bool over;
};

/* ---- the terminal --------------------------------------------------------------------------- */

static struct termios terminal_was;
static volatile sig_atomic_t terminal_taken, resized, asked_to_stop, asked_to_end;

/* Only async-signal-safe calls: crashes come by here as well. */
static void terminal_give_back(void)
{
	if (!terminal_taken)
		return;
	terminal_taken = 0;
	if (write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1) < 0 ||
	    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_was) < 0)
		return; /* the terminal is gone: nothing is left to be given back */
}

static bool terminal_take(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &terminal_was) < 0)
		return false;
	raw = terminal_was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	terminal_taken = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0 ||
	    write(STDOUT_FILENO, ENTER, sizeof(ENTER) - 1) < 0) {
		terminal_give_back();
		return false;
	}
	return true;
}

static void on_crash(int sig)
{
	terminal_give_back();
	(void)raise(sig); /* SA_RESETHAND: now as if there were no handler */
}

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else if (sig == SIGTSTP)
		asked_to_stop = 1;
	else
		asked_to_end = sig;
}

static void signals_set(void)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP };
	struct sigaction sa = { .sa_handler = on_signal };

	/* All valid signals that can be caught. */
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &sa, NULL);
	sa = (struct sigaction){ .sa_handler = on_crash,
				 .sa_flags = (int)SA_RESETHAND | SA_NODEFER };
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		(void)sigaction(crashes[i], &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* valid for SIGPIPE */
}

/* ^Z: the shell gets its terminal back, and we ours when it goes on. */
static void stop_and_go_on(struct screen *s)
{
	asked_to_stop = 0;
	terminal_give_back();
	(void)raise(SIGSTOP); /* returns when somebody says SIGCONT */
	if (!terminal_take())
		s->over = true;
	resized = 1;
}

static void measure(struct screen *s)
{
	struct winsize ws = { 0 };

	resized = 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || !ws.ws_row || !ws.ws_col)
		ws = (struct winsize){ .ws_row = 24, .ws_col = 80 };
	s->rows = MAX((unsigned)ws.ws_row, (unsigned)ROWS_MIN);
	s->cols = MAX((unsigned)ws.ws_col, (unsigned)COLS_MIN);
}

/* ---- the daemon ----------------------------------------------------------------------------- */

static json_t *list_of(const struct screen *s)
{
	return json_object_get(s->answer, "approvals");
}

static void say(struct screen *s, const char *text)
{
	snprintf(s->status, sizeof(s->status), "%s", text); /* cut is fine */
}

static bool connected(struct screen *s)
{
	if (s->fd < 0)
		s->fd = client_open(s->socket);
	if (s->fd >= 0)
		return true;
	snprintf(s->status, sizeof(s->status), "no daemon answers on %s: %s", s->socket,
		 strerror(-s->fd));
	s->fd = -1;
	return false;
}

static void disconnect(struct screen *s, const char *why)
{
	close_p(&s->fd);
	s->fd = -1;
	say(s, why);
}

/* Asks for a listing, or one in full. NULL with the reason in status. */
static json_t *ask(struct screen *s, const char *id)
{
	json_t *answer = NULL;
	int r;

	if (!connected(s))
		return NULL;
	r = client_ask(s->fd, json_pack("{ss,ss*}", "command", "approvals", "id", id), &answer);
	if (r == 0)
		return answer;
	if (r == -EREMOTEIO)
		say(s, client_error(answer));
	else
		disconnect(s, strerror(-r));
	json_decref(answer);
	return NULL;
}

static size_t index_of(const struct screen *s, const char *id)
{
	const json_t *o;
	size_t i;

	json_array_foreach(list_of(s), i, o) {
		const char *this = json_string_value(json_object_get(o, "id"));

		if (this && strcmp(this, id) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void select_at(struct screen *s, size_t i)
{
	size_t n = json_array_size(list_of(s));
	const json_t *o = n ? json_array_get(list_of(s), MIN(i, n - 1)) : NULL;
	const char *id = json_string_value(json_object_get(o, "id"));

	snprintf(s->selected, sizeof(s->selected), "%s", id ? id : "");
}

static void refresh(struct screen *s)
{
	size_t was = s->selected[0] ? index_of(s, s->selected) : 0;
	json_t *answer = ask(s, NULL);

	if (!answer)
		return;
	json_decref(s->answer);
	s->answer = answer;
	if (s->mode == MODE_LIST && (!s->selected[0] || index_of(s, s->selected) == SIZE_MAX))
		select_at(s, was == SIZE_MAX ? 0 : was);
}

static void open_one(struct screen *s)
{
	json_t *answer = s->selected[0] ? ask(s, s->selected) : NULL;

	if (!answer)
		return;
	free(s->all);
	s->all = approval_describe(json_array_get(json_object_get(answer, "approvals"), 0),
				   clock_realtime_ns());
	json_decref(answer);
	s->top = 0;
	if (s->all)
		s->mode = MODE_ONE;
}

static void send_answer(struct screen *s)
{
	const char *state = "";
	char why[400];
	int r;

	s->reason[s->reason_len] = '\0';
	if (!s->allow && !s->reason_len) {
		say(s, "a denial needs a reason: the client is told");
		return;
	}
	s->mode = MODE_LIST;
	if (!connected(s))
		return;
	r = approval_answer(s->fd, s->selected, s->allow, s->reason, why, sizeof(why), &state);
	if (r == 0)
		snprintf(s->status, sizeof(s->status), "%.14s: %s", s->selected,
			 strcmp(state, "waiting") == 0 ? "approved, waits for more people" : state);
	else if (r == -EREMOTEIO)
		snprintf(s->status, sizeof(s->status), "%.14s: %s", s->selected, why);
	else
		disconnect(s, why);
	refresh(s);
}

/* ---- the picture ---------------------------------------------------------------------------- */

/* A cell of so many columns, and a space. */
static int put_cell(struct buf *b, struct slice text, unsigned cols)
{
	int n = out_escape(b, text, cols);

	return n < 0 ? n : buf_printf(b, "%*s", (int)cols - n + 1, "");
}

static int put_row(struct buf *b, const struct screen *s, const struct approval_row *row)
{
	/* Fixed columns: id, left, agent, target, verb, risk, rule; the text takes the rest. */
	static const unsigned widths[] = { 14, 6, 18, 12, 8, 4, 14 };
	unsigned used = 2;
	char risk[24];
	int r = 0;

	snprintf(risk, sizeof(risk), "%lld", row->risk);
	{
		const struct slice cells[] = {
			slice_head(slice_str(row->id), 14),
			slice_str(row->left),
			slice_str(row->agent),
			slice_str(row->target),
			slice_str(row->verb),
			slice_str(risk),
			slice_str(row->rule),
		};

		for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(cells); i++) {
			if (used + widths[i] + 1 > s->cols)
				return r;
			r = put_cell(b, cells[i], widths[i]);
			used += widths[i] + 1;
		}
	}
	if (r >= 0 && used + 4 < s->cols)
		r = out_escape(b, slice_str(row->text), s->cols - used - 1);
	return r;
}

static int put_line(struct buf *b, const char *style, const struct screen *s, const char *text)
{
	int r = buf_printf(b, "%s", style);

	r = r < 0 ? r : out_escape(b, slice_str(text), s->cols - 1);
	return r < 0 ? r : buf_put_str(b, "\033[0m\033[K\r\n");
}

static int draw_list(struct buf *b, const struct screen *s)
{
	static const struct approval_row title = { .id = "ID",
						   .left = "LEFT",
						   .agent = "AGENT",
						   .target = "TARGET",
						   .verb = "VERB",
						   .rule = "RULE",
						   .text = "TEXT" };
	size_t n = json_array_size(list_of(s)), room = s->rows - 4, at = 0, first;
	uint64_t now_ns = clock_realtime_ns();
	size_t used = 0;
	int r;

	if (s->selected[0])
		at = index_of(s, s->selected);
	if (at == SIZE_MAX)
		at = 0;
	first = at >= room ? at - room + 1 : 0;
	r = buf_put_str(b, "\033[2m  ");
	r = r < 0 ? r : put_row(b, s, &title);
	r = r < 0 ? r : buf_put_str(b, "\033[0m\033[K\r\n");
	for (size_t i = first; r >= 0 && i < n && used < room; i++, used++) {
		struct approval_row row;

		approval_row(json_array_get(list_of(s), i), now_ns, &row);
		r = buf_put_str(b, i == at ? "\033[7m> " : "  ");
		r = r < 0 ? r : put_row(b, s, &row);
		r = r < 0 ? r : buf_put_str(b, "\033[0m\033[K\r\n");
	}
	if (r >= 0 && !n)
		r = put_line(b, "", s, "  nothing waits");
	return r;
}

/* The n-th line of a text, or false. */
static bool line_at(const char *text, unsigned n, struct slice *ret)
{
	for (; *text; n--) {
		const char *end = strchrnul(text, '\n');

		if (n == 0) {
			*ret = slice_of(text, (size_t)(end - text));
			return true;
		}
		text = *end ? end + 1 : end;
	}
	return false;
}

static int draw_one(struct buf *b, const struct screen *s)
{
	struct slice line;
	int r = 0;

	/* Escaped already; lines are cut to the width, which takes no part of an escape apart. */
	for (unsigned i = 0; r >= 0 && i < s->rows - 3 && line_at(s->all, s->top + i, &line); i++) {
		r = out_escape(b, line, s->cols - 1);
		r = r < 0 ? r : buf_put_str(b, "\033[K\r\n");
	}
	return r;
}

static int draw_reason(struct buf *b, const struct screen *s)
{
	const json_t *o = json_array_get(list_of(s), index_of(s, s->selected));
	const char *text = json_string_value(json_object_get(o, "text"));
	char line[160];
	int r;

	snprintf(line, sizeof(line), "%s %s", s->allow ? "APPROVE" : "DENY", s->selected);
	r = put_line(b, "\033[1m", s, line);
	r = r < 0 ? r : put_line(b, "", s, text ? text : "(it does not wait any more)");
	r = r < 0 ? r : buf_put_str(b, "\033[K\r\n");
	r = r < 0 ? r : put_line(b, "", s, s->allow ? "reason (may be empty):" : "reason:");
	r = r < 0 ? r : buf_put_str(b, "> ");
	r = r < 0 ? r : out_escape(b, slice_of(s->reason, s->reason_len), s->cols - 4);
	return r < 0 ? r : buf_put_str(b, "\033[7m \033[0m\033[K\r\n");
}

static int compose(struct buf *b, const struct screen *s)
{
	static const char *const keys[] = {
		"j/k move  Enter whole text  a approve  d deny  q quit",
		"j/k scroll  a approve  d deny  Esc back",
		"Enter send  Esc back",
	};
	long long waiting = (long long)json_integer_value(json_object_get(s->answer, "waiting"));
	char title[64];
	int r;

	snprintf(title, sizeof(title), "weir: %lld on hold", waiting);
	r = buf_put_str(b, "\033[H");
	r = r < 0 ? r : put_line(b, "\033[1m", s, title);
	r = r < 0                  ? r
	    : s->mode == MODE_LIST ? draw_list(b, s)
	    : s->mode == MODE_ONE  ? draw_one(b, s)
				   : draw_reason(b, s);
	r = r < 0 ? r : buf_printf(b, "\033[J\033[%u;1H", s->rows - 1);
	r = r < 0 ? r : put_line(b, "\033[33m", s, s->status);
	r = r < 0 ? r : buf_put_str(b, "\033[2m");
	r = r < 0 ? r : out_escape(b, slice_str(keys[s->mode]), s->cols - 1);
	return r < 0 ? r : buf_put_str(b, "\033[0m\033[K");
}

static void draw(struct screen *s)
{
	struct buf b;

	buf_init(&b, SCREEN_MAX);
	if (compose(&b, s) >= 0) {
		struct slice out = buf_peek(&b);

		while (out.len) {
			ssize_t n = write(STDOUT_FILENO, out.ptr, out.len);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				s->over = true; /* the terminal is gone */
				break;
			}
			out = slice_from(out, (size_t)n);
		}
	}
	buf_done(&b);
}

/* ---- keys ----------------------------------------------------------------------------------- */

enum key { KEY_UP = 256, KEY_DOWN, KEY_ESC, KEY_OTHER };

/* The next key of what was read. */
static int key_next(struct slice *in)
{
	int c = in->ptr[0];

	if (c != 0x1b) {
		*in = slice_from(*in, 1);
		return c;
	}
	if (in->len >= 3 && (in->ptr[1] == '[' || in->ptr[1] == 'O')) {
		size_t n = 2;

		while (n < in->len && in->ptr[n] < 0x40)
			n++;
		c = n < in->len ? in->ptr[n] : 0;
		*in = slice_from(*in, MIN(n + 1, in->len));
		return c == 'A' ? KEY_UP : c == 'B' ? KEY_DOWN : KEY_OTHER;
	}
	*in = slice_from(*in, 1);
	return KEY_ESC;
}

static void move(struct screen *s, int by)
{
	size_t at = index_of(s, s->selected);

	if (s->mode == MODE_ONE) {
		struct slice line;

		if (by < 0)
			s->top -= s->top ? 1 : 0;
		else if (line_at(s->all, s->top + 1, &line))
			s->top++;
		return;
	}
	if (at == SIZE_MAX)
		select_at(s, 0);
	else if (by > 0 || at > 0)
		select_at(s, by > 0 ? at + 1 : at - 1);
}

static void key_reason(struct screen *s, int key)
{
	if (key == KEY_ESC) {
		s->mode = s->back;
	} else if (key == '\r' || key == '\n') {
		send_answer(s);
	} else if (key == 0x7f || key == '\b') {
		/* A whole character: its continuation bytes as well. */
		while (s->reason_len && ((uint8_t)s->reason[s->reason_len - 1] & 0xc0) == 0x80)
			s->reason_len--;
		s->reason_len -= s->reason_len ? 1 : 0;
	} else if (key == 0x15) { /* ^U */
		s->reason_len = 0;
	} else if (key >= 0x20 && key < 256 && s->reason_len < REASON_MAX) {
		s->reason[s->reason_len++] = (char)key;
	}
}

static void key_press(struct screen *s, int key)
{
	if (s->mode == MODE_REASON) {
		key_reason(s, key);
		return;
	}
	s->status[0] = '\0';
	switch (key) {
	case 'j':
	case KEY_DOWN: move(s, 1); break;
	case 'k':
	case KEY_UP: move(s, -1); break;
	case '\r':
	case '\n':
		if (s->mode == MODE_LIST)
			open_one(s);
		else
			s->mode = MODE_LIST;
		break;
	case 'a':
	case 'd':
		if (!s->selected[0])
			break;
		s->allow = key == 'a';
		s->reason_len = 0;
		s->back = s->mode;
		s->mode = MODE_REASON;
		break;
	case 'r': refresh(s); break;
	case 'q':
		if (s->mode == MODE_LIST)
			s->over = true;
		s->mode = MODE_LIST;
		break;
	case KEY_ESC: s->mode = MODE_LIST; break;
	default: break;
	}
}

static void take_keys(struct screen *s)
{
	uint8_t bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	struct slice in = slice_of(bytes, n > 0 ? (size_t)n : 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		s->over = true; /* the terminal is gone */
	while (in.len && !s->over)
		key_press(s, key_next(&in));
}

int approvals_watch(const char *socket)
{
	struct screen s = { .socket = socket, .fd = -1 };
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t next_ns = 0;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return cli_fail(CLI_USAGE, "--watch needs a terminal");
	if (!connected(&s))
		return cli_fail(CLI_UNREACHABLE, "%s", s.status);
	signals_set();
	if (!terminal_take())
		return cli_fail(CLI_NO, "the terminal does not do: %s", strerror(errno));
	if (atexit(terminal_give_back) != 0)
		s.over = true;
	measure(&s);
	while (!s.over && !asked_to_end) {
		uint64_t now_ns = clock_monotonic_ns();

		if (now_ns >= next_ns) {
			refresh(&s);
			next_ns = now_ns + REFRESH_MS * NSEC_PER_MSEC;
		}
		draw(&s);
		if (poll(&p, 1, REFRESH_MS) > 0)
			take_keys(&s);
		if (asked_to_stop)
			stop_and_go_on(&s);
		if (resized)
			measure(&s);
	}
	terminal_give_back();
	close_p(&s.fd);
	json_decref(s.answer);
	free(s.all);
	if (asked_to_end && asked_to_end != SIGINT) {
		/* As it would have ended without a handler. */
		(void)signal(asked_to_end, SIG_DFL); /* a valid signal */
		(void)raise(asked_to_end);
	}
	return CLI_OK;
}
