/*
 * What the parts of the load generator share: see load.c.
 */
#ifndef LOAD_H
#define LOAD_H

#include <netinet/in.h>

#include <stdbool.h>
#include <stdint.h>

#define NSEC		1000000000ULL
#define CHUNK_MAX	(1U << 20)

/* The first byte of a connection says what its server does. */
enum mode {
	MODE_NONE = 0,
	MODE_ECHO = 'E',	/* sends back what comes */
	MODE_UP = 'U',		/* reads and drops */
	MODE_DOWN = 'D',	/* writes as fast as it can */
};

/* Written by the server, read by the client, which does the measuring. */
struct shared {
	_Atomic uint64_t sunk;		/* bytes read of MODE_UP */
	_Atomic uint64_t sent;		/* bytes written of MODE_DOWN */
};

/* measure.c */
#define HIST_SUB	64U		/* buckets per power of two: 1.6 % */
#define HIST_SIZE	(40 * HIST_SUB)

struct hist {
	uint64_t n, max;
	uint32_t bucket[HIST_SIZE];
};

struct sample {
	uint64_t time;			/* ns */
	uint64_t ops, fails, bytes;	/* the client's counters */
	uint64_t proxy, own, machine;	/* CPU time in us */
};

uint64_t now(void);
void measure_open(const char *, const char *);
void measure_begin(void);
void measure_end(const char *);
void measure_mark(const char *);

extern struct hist latency;
extern uint64_t count_ops, count_fails;
extern struct shared *shared;

void hist_add(uint64_t);

/* client.c */
struct client {
	struct sockaddr_in to;
	uint32_t n;		/* size of the table of connections */
	uint32_t size;		/* of a message */
	uint32_t window;	/* connections being opened at a time */
};

void client_init(const struct client *);
bool client_probe(uint64_t);
bool client_open(uint32_t, uint32_t, enum mode);
void client_close(uint32_t, uint32_t);
void client_stop_reading(uint32_t);
void client_run(uint64_t);
void client_pingpong(uint32_t, uint32_t, uint32_t);
bool client_pingpong_end(void);
void client_short(uint32_t);
bool client_short_end(void);
uint64_t client_received(void);

/* server.c */
_Noreturn void server_run(int, uint32_t);

#endif
