// SPDX-License-Identifier: Apache-2.0
/*
 * main() for a fuzz target without libFuzzer: replays tests/fuzz/corpus/NAME, so that plain gcc and
 * `make check` run what fuzzing has found. Each file goes in as it is, then cut short at up to
 * CUTS places from each end, then with up to FLIPS single bytes changed (the same ones every time).
 * Input ends at a guard page: one byte read too many faults. Prints TAP.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, CUTS = 32, FLIPS = 64 };

static uint8_t *guard; /* the page that must not be touched; input ends just before it */

static void play(const uint8_t *data, size_t size)
{
	uint8_t *at = guard - size;

	memcpy(at, data, size);
	(void)LLVMFuzzerTestOneInput(at, size); /* reports by dying */
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static size_t play_around(uint8_t *data, size_t size)
{
	size_t played = 1, step = size / CUTS + 1;
	uint32_t rnd = (uint32_t)size;

	play(data, size);
	for (size_t n = step; n < size; n += step, played += 2) {
		play(data, size - n);
		play(data + n, size - n);
	}
	for (int i = 0; i < FLIPS && size; i++, played++) {
		uint8_t *at = data + next_random(&rnd) % size;
		uint8_t old = *at;

		*at = (uint8_t)next_random(&rnd);
		play(data, size);
		*at = old;
	}
	return played;
}

static size_t replay_dir(const char *dir, uint8_t *bytes, size_t *ret_files)
{
	struct dirent **names;
	size_t played = 0;
	int n = scandir(dir, &names, NULL, alphasort);

	*ret_files = 0;
	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0)
		err(1, "%s", dir);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		FILE *f;
		size_t size;

		if (names[i]->d_name[0] != '.') {
			(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
			f = fopen(path, "re");
			if (!f)
				err(1, "%s", path);
			size = fread(bytes, 1, INPUT_MAX, f);
			(void)fclose(f); /* only read */
			printf("# %s\n", path);
			(void)fflush(stdout); /* when this one kills us, the log names it */
			played += play_around(bytes, size);
			(*ret_files)++;
		}
		free(names[i]);
	}
	free(names);
	return played;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/'), *root = getenv("WEIR_CORPUS");
	size_t page = (size_t)sysconf(_SC_PAGESIZE), files, played;
	uint8_t *map = mmap(NULL, INPUT_MAX + page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *bytes = malloc(INPUT_MAX);
	char dir[PATH_MAX / 2];

	if (map == MAP_FAILED || !bytes)
		err(1, "memory");
	guard = map + INPUT_MAX;
	if (mprotect(guard, page, PROT_NONE))
		err(1, "guard page");
	name = name ? name + 1 : argv[0];
	if (argc > 1)
		(void)snprintf(dir, sizeof(dir), "%s", argv[1]);
	else
		(void)snprintf(dir, sizeof(dir), "%s/%s", root ? root : "tests/fuzz/corpus",
			       strncmp(name, "fuzz_", 5) ? name : name + 5);
	printf("1..1\n");
	play(bytes, 0);
	played = replay_dir(dir, bytes, &files);
	printf("%sok 1 - %zu files of %s, %zu inputs\n", files ? "" : "not ", files, dir, played);
	free(bytes);
	return files ? 0 : 1;
}
