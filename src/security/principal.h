/*
 * principal.h - who a TLS client is: its certificate's subject, rewritten by rules.
 *
 * A principal is "User:" and a name. Without a certificate it is User:ANONYMOUS. With one, it is
 * the subject's distinguished name as Java prints it (RFC 2253), to which the first rule of
 * ssl.principal.mapping.rules that matches is applied.
 *
 * Threads  a struct principal_rules is immutable and may be used from any thread.
 * Source   wire-protocol 1.5; Kafka's DefaultKafkaPrincipalBuilder, SslPrincipalMapper; KIP-371.
 */
#ifndef KLAMM_SECURITY_PRINCIPAL_H
#define KLAMM_SECURITY_PRINCIPAL_H

#include <openssl/x509.h>

#include "base/bytes.h"

#define PRINCIPAL_ANONYMOUS "User:ANONYMOUS"

struct principal_rules;

/*
 * rules: "DEFAULT" or "RULE:pattern/replacement/[LU]", comma-separated; NULL means DEFAULT.
 * Patterns are Perl-compatible regular expressions, which is what Java's are for this purpose.
 * Returns 0, -EINVAL with one sentence in err, or -ENOMEM.
 */
MUST_CHECK int principal_rules_open(const char *rules, char *err, size_t err_len,
				    struct principal_rules **ret_rules);
void principal_rules_close(struct principal_rules *pr);

/* Appends the subject of cert as Java's X500Principal.getName() does: RFC 2253. 0 or -EINVAL. */
MUST_CHECK int principal_subject(const X509 *cert, struct buf *out);
/* Appends the name for a distinguished name. -ENOENT: no rule applies. */
MUST_CHECK int principal_map(const struct principal_rules *pr, const char *dn, struct buf *out);
/*
 * Appends "User:..." for a TLS client; cert NULL: User:ANONYMOUS. -ENOENT: no rule applies, and
 * the client must be refused.
 */
MUST_CHECK int principal_of_certificate(const struct principal_rules *pr, const X509 *cert,
					struct buf *out);

#endif
