/*
 * IP addresses with port, as sallyport stores, parses and prints them.
 * Pure functions on numbers and text: no name service.  Any process.
 *
 * Family AF_UNIX stands for a unix socket.  What it is called is then known
 * elsewhere (its text is "-" here), so that no struct need hold a path.
 */
#ifndef COMMON_NETADDR_H
#define COMMON_NETADDR_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netaddr {
	uint16_t family;	/* AF_INET, AF_INET6, AF_UNIX, or 0: none */
	uint16_t port;		/* host order; AF_UNIX: 0 */
	uint32_t scope;		/* IPv6 zone number, else 0 */
	union {
		uint8_t ip[16];	/* IPv4 in the first four, rest zero */
		struct {	/* AF_UNIX, of a client: who it is */
			uint32_t pid, uid, gid;
		} peer;
	};
};

#define NETADDR_TEXT	72	/* "[v6%zone]:port" and a NUL */

/*
 * Parses a numeric IPv4 or IPv6 address (also "[v6]", "v6%zone" with a
 * decimal zone); family 0 accepts both.  The port is left 0.  Returns 0,
 * or -1 when the text is no such address.
 */
int	netaddr_parse(const char *text, int family, struct netaddr *a);

/* "192.0.2.1:80" or "[2001:db8::1]:80"; returns buf. */
const char *netaddr_text(const struct netaddr *a, char buf[NETADDR_TEXT]);

/* The address without port and brackets; returns buf. */
const char *netaddr_ip(const struct netaddr *a, char buf[NETADDR_TEXT]);

/* To and from the kernel's form.  Returns the length, 0 for family 0; and 0
   or -1: another family. */
socklen_t netaddr_sockaddr(const struct netaddr *a,
	    struct sockaddr_storage *ss);
int	netaddr_from(const struct sockaddr *sa, socklen_t len,
	    struct netaddr *a);

bool	netaddr_any(const struct netaddr *a);		/* 0.0.0.0 or :: */
bool	netaddr_multicast(const struct netaddr *a);
bool	netaddr_mapped(const struct netaddr *a);	/* ::ffff:0:0/96 */
bool	netaddr_equal(const struct netaddr *a, const struct netaddr *b);

#endif
