/*
 * broker_settings.h - what it takes to reach a broker without librdkafka: the same options, files
 * and settings as client.h reads, in the terms of net and security.
 *
 * Tells what went wrong before it returns anything but CLI_DONE.
 */
#ifndef KLAMM_CLI_BROKER_SETTINGS_H
#define KLAMM_CLI_BROKER_SETTINGS_H

#include "cli/command.h"

struct client_tls;

struct server_address {
	char *host; /* no brackets */
	int port;
};

struct broker_settings {
	char *bootstrap; /* as it was given */
	struct server_address *servers;
	size_t server_count;
	char *client_id;
	struct client_tls *tls; /* NULL: plaintext */
	int timeout_ms;         /* --timeout */
};

MUST_CHECK int broker_settings_load(struct broker_settings *s);
/* Accepts one that is zeroed. */
void broker_settings_fini(struct broker_settings *s);

/*
 * "HOST[:PORT],[V6]:PORT,SSL://HOST:PORT": what stands before :// is passed over, and a port that
 * is not there is 9092. Adds to s; 0, -ENOMEM, or -EINVAL for a list without a host or with a port
 * that is none.
 */
MUST_CHECK int server_addresses_parse(struct broker_settings *s, const char *text);

#endif
