/*
 * kerr.h - the error codes of the protocol, and what a status of ours becomes on the wire.
 *
 * A status is 0 for done, positive for a Kafka error code that a client may see, negative for
 * -errno, where our own machine failed. kerr_of() makes the wire code of it, and is called where
 * an answer is filled, nowhere deeper.
 *
 * Kafka's number for "unknown server error" is -1, which a status cannot carry: inside, it is
 * K_UNKNOWN_SERVER_ERROR, a number that no other code has.
 *
 * Source  wire-protocol, section 8; Kafka's Errors.
 */
#ifndef KLAMM_WIRE_KERR_H
#define KLAMM_WIRE_KERR_H

#include <stdbool.h>
#include <stdint.h>

enum kerr {
#define KERR(number, name, text) K_##name = (number) < 0 ? INT16_MAX : (number),
#include "wire/kerr.def"
#undef KERR
};

/*
 * The wire code of a status: a Kafka code itself; a failed disk (-EIO, -ENOSPC, -EROFS and their
 * like) KAFKA_STORAGE_ERROR; any other -errno UNKNOWN_SERVER_ERROR.
 */
int16_t kerr_of(int st);
/* The status of a wire code that a peer sent. */
int kerr_status(int16_t code);
/* Kafka's name, for example "NOT_CONTROLLER". Takes a wire code or a status >= 0; never NULL. */
const char *kerr_name(int code);
/* A sentence without a full stop. The same arguments. */
const char *kerr_text(int code);
/* Whether Kafka's clients try again on their own. The same arguments. */
bool kerr_retriable(int code);

#endif
