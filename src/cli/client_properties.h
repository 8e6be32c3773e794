/*
 * client_properties.h - what Kafka's tools take as --command-config, in librdkafka's terms.
 *
 * Java's clients and librdkafka share most names. What differs is in one table: other names, keys
 * that only a JVM knows, and stores: PEM and PKCS#12 are handed on, a JKS store cannot be read and
 * is refused with the command that converts it.
 *
 * Source   Kafka's SslConfigs, SaslConfigs, CommonClientConfigs; librdkafka's CONFIGURATION.md.
 */
#ifndef KLAMM_CLI_CLIENT_PROPERTIES_H
#define KLAMM_CLI_CLIENT_PROPERTIES_H

#include "base/bytes.h"
#include "base/properties.h"

/* One setting for librdkafka. Returns 0, or anything else to end the translation with it. */
typedef int client_setting_fn(void *arg, const char *name, const char *value);

/*
 * Gives fn what librdkafka has to be told. Keys that it may not know are handed on as they are;
 * keys that only mean something to a JVM are left out.
 *
 * ret_why   on -EINVAL: what is wrong and what to do, in one line; appended to
 * Returns 0, -EINVAL, -ENOMEM, or what fn returned.
 */
MUST_CHECK int client_properties_translate(const struct properties *props, client_setting_fn *fn,
					   void *arg, struct buf *ret_why);

#endif
