/*
 * The leader's part of the LOADING talk: look up the names to listen on,
 * have P bind every address, judge what went wrong.  Relay only.
 */
#ifndef RELAY_BIND_H
#define RELAY_BIND_H

#include <stdint.h>

struct relay;

/*
 * Sends all BINDs and returns their number.  `lookup' is the channel to the
 * one-shot resolver, or -1.  All errors are logged; if there is one that
 * `on-error: skip' does not cover, the process ends.
 */
uint32_t bind_all(const struct relay *r, int lookup);

#endif
