/*
 * Words of the configuration or the command line -> values.  What is wrong
 * is reported, and counted there; the value is then of no meaning.  Relay
 * only.
 */
#ifndef RELAY_VALUE_H
#define RELAY_VALUE_H

#include "diag.h"
#include "keyword.h"

struct word {
	char	    *text; /* lives as long as the configuration */
	struct place at;
};

/* AF_INET, AF_INET6 or 0. */
void value_family(struct diag *d, const struct word *w, int *family);

/*
 * An address or name; the port becomes 0.  The host's text is that of the
 * word, from which brackets are cut off.
 */
void value_host(struct diag *d, const struct word *w, struct conf_host *host);

/* A number from `min' or the name of a service. */
void value_port(struct diag *d, const struct word *w, uint16_t min,
    uint16_t *port);

/* The number for a keyword of type TYPE_MS and the following. */
void value_number(struct diag *d, const struct word *w,
    const struct keyword *k, uint32_t *number);

/* The text of `name:'. */
void value_name(struct diag *d, const struct word *w, const char **name);

void value_on_error(struct diag *d, const struct word *w,
    enum conf_on_error *on_error);

#endif
