/*
 * Which capabilities P needs, which of them are there, and what is taken from
 * this process, and so from P.  Runs in the sallyport command; asks the
 * kernel and changes its own process only.
 *
 * Root gets its capabilities again with each exec; those of others outlive it
 * only as ambient ones, which no_new_privs doesn't forbid.  File capabilities
 * will not do: with them whoever may execute the file could make sallyport
 * talk to local services in the name of any user.
 */
#include "caps.h"

#include <sys/prctl.h>

#include <cap-ng.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "../common/fmt.h"
#include "../common/log.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* To start, confine and end processes of another user. */
static const unsigned needed[] = {
	CAP_SETUID, CAP_SETGID, CAP_SYS_CHROOT, CAP_KILL, CAP_SETPCAP
};

/* Does exec give root all that the bounding set has? */
static bool
is_root(void)
{
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (bits == -1)
		fatal("securebits");
	return (geteuid() == 0 && (bits & SECBIT_NOROOT) == 0);
}

/* How many of the needed ones are in this set; which are not. */
static size_t
count(capng_type_t set, char *missing, size_t size)
{
	size_t n = 0, len = 0;

	missing[0] = '\0';
	if (capng_get_caps_process() == -1)
		fatalx("the capabilities could not be read");
	for (size_t i = 0; i < COUNT(needed); i++)
		if (capng_have_capability(set, needed[i]))
			n++;
		else
			len += fmt_print(missing + len, size - len,
			    " cap_%s", capng_capability_to_name(needed[i]));
	return (n);
}

bool
caps_privileged(void)
{
	char missing[128];

	return (geteuid() == 0 || count(CAPNG_AMBIENT, missing,
	    sizeof(missing)) == COUNT(needed));
}

void
caps_check(void)
{
	char   missing[128];
	size_t permitted = count(CAPNG_PERMITTED, missing, sizeof(missing));

	if (geteuid() != 0 && permitted == 0)
		return;
	if (is_root() && permitted < COUNT(needed))
		fatalx("root lacks capabilities, expected in addition:%s",
		    missing);
	if (!is_root() && count(CAPNG_AMBIENT, missing, sizeof(missing)) <
	    COUNT(needed))
		fatalx("some of the capabilities for a change of user are "
		    "there; expected none, or in the ambient set also:%s",
		    missing);
}

void
caps_cut(bool privileged, bool chown)
{
	unsigned sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED |
	    CAPNG_BOUNDING_SET;
	bool	 bind, failed = false;

	if (capng_get_caps_process() == -1)
		fatalx("the capabilities could not be read");
	bind = capng_have_capability(CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	/* not for another user: whoever shares its uid could put files into
	   its --socket-dir, and have them given away */
	chown = chown && privileged && is_root() &&
	    capng_have_capability(CAPNG_PERMITTED, CAP_CHOWN);
	if (!is_root())
		sets |= CAPNG_INHERITABLE | CAPNG_AMBIENT;
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; privileged && i < COUNT(needed); i++)
		failed = capng_update(CAPNG_ADD, sets, needed[i]) == -1 ||
		    failed;
	if (failed || (bind && capng_update(CAPNG_ADD, sets,
	    CAP_NET_BIND_SERVICE) == -1) ||
	    (chown && capng_update(CAPNG_ADD, sets, CAP_CHOWN) == -1) ||
	    capng_apply(privileged ? CAPNG_SELECT_ALL :
	    CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) != 0)
		fatalx("the capabilities could not be cut");
}
