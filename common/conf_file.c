/*
 * Hands the configuration file on without reading it: sendfile(2) moves the
 * bytes inside the kernel.  Runs in P, and in the sallyport command for the
 * modes that print; opens the one file that the command line named.
 */
#include "conf_file.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LIMIT (1024 * 1024)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int
conf_file_open(const char *path, const char **why)
{
	struct stat a, b;
	int	    from, to = -1;

	*why = NULL;

	/* NONBLOCK: a fifo must not make P wait */
	from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (from == -1 || fstat(from, &a) == -1)
		*why = strerrordesc_np(errno);
	else if (!S_ISREG(a.st_mode) || a.st_size > LIMIT)
		*why = "expected a regular file of at most 1 MiB";
	else if ((a.st_uid != 0 && a.st_uid != geteuid()) ||
	    (a.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		*why = "expected a file of root's that nobody else can write";
	else if ((to = memfd_create("conf", MFD_CLOEXEC | MFD_ALLOW_SEALING))
	    == -1 || sendfile(to, from, NULL, LIMIT + 1) != a.st_size ||
	    fcntl(to, F_ADD_SEALS, SEALS) == -1 || fstat(from, &b) == -1 ||
	    memcmp(&b.st_mtim, &a.st_mtim, sizeof(a.st_mtim)) != 0)
		*why = "it can't be read, or changed meanwhile";
	close(from);
	if (*why == NULL)
		return (to);
	close(to);
	return (-1);
}
