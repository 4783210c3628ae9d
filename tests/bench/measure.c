/*
 * What is counted, and when: a sample of all counters is taken at the two
 * ends of a window, and their differences are printed as one line of JSON.
 * CPU time is read from the cpu.stat of two control groups, the proxy's and
 * the load generator's own, so exited children count; the machine's is read
 * from /proc/stat beside it.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

struct hist latency;
uint64_t count_ops, count_fails;

static struct sample begin;
static int proxy_fd = -1, own_fd = -1, stat_fd = -1;

uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec);
}

/* --- latency ------------------------------------------------------------- */

void
hist_add(uint64_t ns)
{
	uint64_t i = ns;

	if (ns >= HIST_SUB) {
		uint32_t shift = 63U - (uint32_t)__builtin_clzll(ns) - 6;

		i = (uint64_t)(shift + 1) * HIST_SUB + (ns >> shift) - HIST_SUB;
	}
	latency.bucket[i < HIST_SIZE ? i : HIST_SIZE - 1]++;
	latency.n++;
	if (ns > latency.max)
		latency.max = ns;
}

/* The latency in us that this part of all stayed below. */
static double
hist_part(double part)
{
	uint64_t seen = 0, shift, low;

	for (uint64_t i = 0; i < HIST_SIZE; i++) {
		seen += latency.bucket[i];
		if (latency.n == 0 || (double)seen < part * (double)latency.n)
			continue;
		if (i < HIST_SUB)
			return ((double)i / 1e3);
		shift = i / HIST_SUB - 1;
		low = (HIST_SUB + i % HIST_SUB) << shift;
		return (((double)low + 0.5 * (double)(1ULL << shift)) / 1e3);
	}
	return (0);
}

/* --- samples ------------------------------------------------------------- */

static int
open_stat(const char *directory, const char *name)
{
	char path[512];
	int fd;

	if (directory == NULL)
		return (-1);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if ((fd = open(path, O_RDONLY)) < 0)
		err(1, "%s", path);
	return (fd);
}

/* The groups' directories; NULL for none. */
void
measure_open(const char *proxy, const char *own)
{
	proxy_fd = open_stat(proxy, "cpu.stat");
	own_fd = open_stat(own, "cpu.stat");
	stat_fd = open_stat("/proc", "stat");
}

static char *
read_stat(int fd, char *text, size_t size)
{
	ssize_t n;

	if ((n = pread(fd, text, size - 1, 0)) < 0)
		err(1, "reading CPU time");
	text[n] = '\0';
	return (text);
}

static uint64_t
cpu_group(int fd)
{
	char text[512];

	if (fd < 0)
		return (0);
	/* "usage_usec N" is its first line */
	return (strtoull(read_stat(fd, text, sizeof(text)) + 11, NULL, 10));
}

/* All that was not idle, waiting or stolen. */
static uint64_t
cpu_machine(void)
{
	char text[256], *p;
	uint64_t sum = 0, value;

	p = read_stat(stat_fd, text, sizeof(text)) + 4;
	for (int i = 0; i < 7; i++) {
		value = strtoull(p, &p, 10);
		if (i != 3 && i != 4)
			sum += value;
	}
	return (sum * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

static struct sample
sample_take(void)
{
	return ((struct sample){
	    .proxy = cpu_group(proxy_fd),
	    .own = cpu_group(own_fd),
	    .machine = cpu_machine(),
	    .ops = count_ops,
	    .fails = count_fails,
	    .bytes = shared->sunk + client_received(),
	    .time = now(),
	});
}

void
measure_begin(void)
{
	memset(&latency, 0, sizeof(latency));
	begin = sample_take();
}

void
measure_end(const char *phase)
{
	struct sample end = sample_take();

	printf("{\"phase\": \"%s\", \"secs\": %.6f, \"ops\": %" PRIu64
	    ", \"fails\": %" PRIu64 ", \"bytes\": %" PRIu64, phase,
	    (double)(end.time - begin.time) / 1e9, end.ops - begin.ops,
	    end.fails - begin.fails, end.bytes - begin.bytes);
	printf(", \"cpu\": %" PRIu64 ", \"own\": %" PRIu64
	    ", \"machine\": %" PRIu64, end.proxy - begin.proxy,
	    end.own - begin.own, end.machine - begin.machine);
	printf(", \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, "
	    "\"max\": %.2f}\n", hist_part(0.5), hist_part(0.99),
	    hist_part(0.999), (double)latency.max / 1e3);
	fflush(stdout);
}

/* The driver looks at something now, and says when it has. */
void
measure_mark(const char *name)
{
	char c;

	printf("mark %s\n", name);
	fflush(stdout);
	if (read(STDIN_FILENO, &c, 1) != 1)
		errx(1, "the driver has gone");
}
