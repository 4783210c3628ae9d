/*
 * Reads a text file whole.  Runs in the processes under libexec, before the
 * sandbox closes; touches that file only.
 */
#include "textfile.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

/* The whole file in fresh memory, or NULL with errno. */
static char *
textfile_read(int fd, size_t *size)
{
	struct stat st;
	char	   *text;
	size_t	    max;
	ssize_t	    n;

	*size = 0;
	if (fstat(fd, &st) == -1)
		return (NULL);
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return (NULL);
	}
	max = st.st_size < TEXTFILE_MAX ? (size_t)st.st_size : TEXTFILE_MAX;
	if ((text = malloc(max + 1)) == NULL)
		return (NULL);
	while (*size < max) {
		n = read(fd, text + *size, max - *size);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			free(text);
			return (NULL);
		}
		if (n == 0)
			break;
		*size += (size_t)n;
	}
	return (text);
}

char *
textfile_load(const char *path, size_t *size)
{
	char *text;
	int   fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		if (errno != ENOENT)
			log_warn("%s", path);
		return (NULL);
	}
	if ((text = textfile_read(fd, size)) == NULL)
		log_warn("%s", path);
	close(fd);
	return (text);
}
