/*
 * What the programs of this directory share: counting and TAP lines, and
 * the memory in which a confined child leaves what it saw, as it may not be
 * able to say it.
 */
#ifndef TESTS_SANDBOX_TAP_H
#define TESTS_SANDBOX_TAP_H

#include <sys/mman.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SALLYPORT_NO_SANDBOX
#define SANDBOX	0
#else
#define SANDBOX	1
#endif

static unsigned tap_passed, tap_failed;
static bool	tap_skipped;

__attribute__((format(printf, 2, 3)))
static bool
tap(bool ok, const char *format, ...)
{
	va_list ap;

	printf("%sok %u - ", ok ? "" : "not ", tap_passed + tap_failed + 1);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	if (ok)
		tap_passed++;
	else
		tap_failed++;
	return (ok);
}

/* The whole program; counts as nothing. */
static void
tap_skip(const char *why)
{
	printf("# SKIP %s\n", why);
	tap_skipped = true;
}

/* The exit status; nothing done is a failure. */
static int
tap_end(void)
{
	printf("1..%u\n%u passed, %u failed\n", tap_passed + tap_failed,
	    tap_passed, tap_failed);
	return (tap_failed == 0 && (tap_passed > 0 || tap_skipped) ? 0 : 1);
}

_Noreturn static void
tap_die(const char *what)
{
	perror(what);
	exit(2);
}

static void *
tap_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		tap_die("mmap");
	return (p);
}

#endif
