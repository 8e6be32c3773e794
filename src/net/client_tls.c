#include "net/client_tls.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/lock.h"

struct client_tls {
	struct lock lock;
	SSL_CTX *ctx;
	bool verify_host;
};

int
client_tls_open(SSL_CTX *ctx, bool verify_host, struct client_tls **ret_tls)
{
	struct client_tls *tls = calloc(1, sizeof(*tls));

	if (tls == NULL) {
		SSL_CTX_free(ctx);
		return -ENOMEM;
	}
	lock_init(&tls->lock, LOCK_CLIENT_TLS);
	tls->ctx = ctx;
	tls->verify_host = verify_host;
	*ret_tls = tls;
	return 0;
}

void
client_tls_close(struct client_tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->ctx);
	lock_fini(&tls->lock);
	free(tls);
}

void
client_tls_replace(struct client_tls *tls, SSL_CTX *ctx, bool verify_host)
{
	SSL_CTX *former;

	lock_acquire(&tls->lock);
	former = tls->ctx;
	tls->ctx = ctx;
	tls->verify_host = verify_host;
	lock_release(&tls->lock);
	SSL_CTX_free(former);
}

SSL_CTX *
client_tls_get(struct client_tls *tls, bool *ret_verify_host)
{
	SSL_CTX *ctx;

	lock_acquire(&tls->lock);
	ctx = tls->ctx;
	SSL_CTX_up_ref(ctx);
	*ret_verify_host = tls->verify_host;
	lock_release(&tls->lock);
	return ctx;
}
