/*
 * IP addresses as numbers and text.  Runs in every process; pure functions.
 */
#include "netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string.h>

#include "fmt.h"

static size_t
ip_size(const struct netaddr *a)
{
	return (a->family == AF_INET ? 4 : 16);
}

int
netaddr_parse(const char *text, int family, struct netaddr *a)
{
	char	 buf[NETADDR_TEXT];
	size_t	 len = strlen(text);
	char	*zone;
	uint64_t number;

	memset(a, 0, sizeof(*a));
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
		family = family == AF_INET ? -1 : AF_INET6;
	}
	if (len >= sizeof(buf))
		return (-1);
	memcpy(buf, text, len);
	buf[len] = '\0';
	if ((family == 0 || family == AF_INET) &&
	    inet_pton(AF_INET, buf, a->ip) == 1) {
		a->family = AF_INET;
		return (0);
	}
	if (family != 0 && family != AF_INET6)
		return (-1);
	if ((zone = strchr(buf, '%')) != NULL) {
		*zone++ = '\0';
		if (fmt_number(zone, UINT32_MAX, &number) == -1)
			return (-1);
		a->scope = (uint32_t)number;
	}
	if (inet_pton(AF_INET6, buf, a->ip) != 1) {
		memset(a, 0, sizeof(*a));
		return (-1);
	}
	a->family = AF_INET6;
	return (0);
}

const char *
netaddr_ip(const struct netaddr *a, char buf[NETADDR_TEXT])
{
	size_t len;

	if ((a->family != AF_INET && a->family != AF_INET6) ||
	    inet_ntop(a->family, a->ip, buf, NETADDR_TEXT) == NULL) {
		fmt_print(buf, NETADDR_TEXT, "-");
	} else if (a->scope != 0) {
		len = strlen(buf);
		fmt_print(buf + len, NETADDR_TEXT - len, "%%%u", a->scope);
	}
	return (buf);
}

const char *
netaddr_text(const struct netaddr *a, char buf[NETADDR_TEXT])
{
	char ip[NETADDR_TEXT];

	netaddr_ip(a, ip);
	if (a->family == AF_INET6)
		fmt_print(buf, NETADDR_TEXT, "[%s]:%u", ip, a->port);
	else if (a->family == AF_INET)
		fmt_print(buf, NETADDR_TEXT, "%s:%u", ip, a->port);
	else
		fmt_print(buf, NETADDR_TEXT, "-");
	return (buf);
}

socklen_t
netaddr_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in  *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(a->port);
		memcpy(&sin->sin_addr, a->ip, 4);
		return (sizeof(*sin));
	}
	if (a->family != AF_INET6)
		return (0);		/* which every call refuses */
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(a->port);
	sin6->sin6_scope_id = a->scope;
	memcpy(&sin6->sin6_addr, a->ip, 16);
	return (sizeof(*sin6));
}

int
netaddr_from(const struct sockaddr *sa, socklen_t len, struct netaddr *a)
{
	struct sockaddr_in  sin;
	struct sockaddr_in6 sin6;

	memset(a, 0, sizeof(*a));
	if (sa->sa_family == AF_INET && len >= sizeof(sin)) {
		memcpy(&sin, sa, sizeof(sin));
		a->family = AF_INET;
		a->port = ntohs(sin.sin_port);
		memcpy(a->ip, &sin.sin_addr, 4);
		return (0);
	}
	if (sa->sa_family == AF_INET6 && len >= sizeof(sin6)) {
		memcpy(&sin6, sa, sizeof(sin6));
		a->family = AF_INET6;
		a->port = ntohs(sin6.sin6_port);
		a->scope = sin6.sin6_scope_id;
		memcpy(a->ip, &sin6.sin6_addr, 16);
		return (0);
	}
	return (-1);
}

bool
netaddr_any(const struct netaddr *a)
{
	static const uint8_t zero[16];

	return (memcmp(a->ip, zero, ip_size(a)) == 0);
}

bool
netaddr_multicast(const struct netaddr *a)
{
	if (a->family == AF_INET)
		return ((a->ip[0] & 0xf0) == 0xe0);
	return (a->ip[0] == 0xff);
}

bool
netaddr_mapped(const struct netaddr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return (a->family == AF_INET6 && memcmp(a->ip, prefix, 12) == 0);
}

bool
netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return (a->family == b->family && a->port == b->port &&
	    a->scope == b->scope && memcmp(a->ip, b->ip, ip_size(a)) == 0);
}
