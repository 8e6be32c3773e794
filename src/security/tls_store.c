/*
 * A store is text in the configuration (PEM) or a file whose type is given or told by its first
 * bytes: "-----BEGIN" somewhere is PEM, 0x30 is PKCS#12, 0xFEEDFEED and 0xCECECECE are Java's own
 * JKS and JCEKS. As in Java, the word JKS also stands for PKCS#12: content decides.
 *
 * PEM text out of a properties file may have lost its line ends; it is brought into shape first.
 * PKCS#12 of old tools is encrypted with RC2, which OpenSSL 3 keeps in its legacy provider: that
 * is loaded when it is needed.
 */
#include "security/tls_store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <strings.h>

#define STORE_MAX_BYTES ((size_t)16 << 20)

enum store_type { STORE_PEM, STORE_PKCS12, STORE_JKS, STORE_UNKNOWN };

int
tls_fail(char *err, const struct tls_settings *ts, const char *key, const char *what,
	 const char *why)
{
	struct buf text = {0};

	buf_printf(&text, "%s%s: %s%s%s", ts->key_prefix == NULL ? "" : ts->key_prefix, key,
		   what == NULL ? "" : what, what == NULL ? "" : ": ", why);
	if (buf_text(&text) == NULL)
		return -ENOMEM;
	strncpy(err, buf_text(&text), TLS_ERR_LEN - 1);
	err[TLS_ERR_LEN - 1] = '\0';
	buf_fini(&text);
	return -EINVAL;
}

const char *
tls_openssl_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return reason == NULL ? "not readable" : reason;
}

static bool
is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* ---- PEM ---- */

/* Passwords come from the configuration only: OpenSSL must not ask on the terminal. */
static int
give_password(char *out, int size, int writing, void *arg)
{
	const char *password = arg;
	size_t len = password == NULL ? 0 : strlen(password);

	(void)writing;
	if (password == NULL || len > (size_t)size)
		return -1;
	memcpy(out, password, len);
	return (int)len;
}

/* The body of one PEM block without white space, in lines of 64, unless it has headers. */
static void
append_pem_body(struct buf *out, const char *body, size_t len)
{
	int column = 0;

	if (memchr(body, ':', len) != NULL) {
		buf_append(out, body, len);
		return;
	}
	buf_append_u8(out, '\n');
	for (size_t i = 0; i < len; i++) {
		if (isspace((unsigned char)body[i]))
			continue;
		buf_append_u8(out, (uint8_t)body[i]);
		if (++column == 64) {
			buf_append_u8(out, '\n');
			column = 0;
		}
	}
	if (column != 0)
		buf_append_u8(out, '\n');
}

/* PEM blocks as OpenSSL wants them, whatever became of their line ends. */
static BIO *
open_pem(const char *text, size_t len)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ", dashes[] = "-----";
	const char *p = text, *stop = text + len;
	struct buf out = {0};
	BIO *bio = NULL;

	while ((p = memmem(p, (size_t)(stop - p), begin, sizeof(begin) - 1)) != NULL) {
		const char *label = p + sizeof(begin) - 1, *body, *tail, *last;

		body = memmem(label, (size_t)(stop - label), dashes, sizeof(dashes) - 1);
		if (body == NULL)
			break;
		body += sizeof(dashes) - 1;
		tail = memmem(body, (size_t)(stop - body), end, sizeof(end) - 1);
		if (tail == NULL)
			break;
		last = tail + sizeof(end) - 1;
		last = memmem(last, (size_t)(stop - last), dashes, sizeof(dashes) - 1);
		if (last == NULL)
			break;
		last += sizeof(dashes) - 1;
		buf_append(&out, p, (size_t)(body - p));
		append_pem_body(&out, body, (size_t)(tail - body));
		buf_append(&out, tail, (size_t)(last - tail));
		buf_append_u8(&out, '\n');
		p = last;
	}
	if (!out.failed) {
		bio = BIO_new(BIO_s_mem());
		if (bio != NULL && BIO_write(bio, out.data, (int)out.len) < (int)out.len) {
			BIO_free(bio);
			bio = NULL;
		}
	}
	if (out.data != NULL)
		OPENSSL_cleanse(out.data, out.len);
	buf_fini(&out);
	return bio;
}

/* All certificates of a PEM text, in their order; an empty stack when there is none. */
static int
pem_certificates(const char *text, size_t len, STACK_OF(X509) * *ret_certs)
{
	STACK_OF(X509) *certs = sk_X509_new_null();
	BIO *bio = open_pem(text, len);
	X509 *cert;
	int st = -ENOMEM;

	if (certs == NULL || bio == NULL)
		goto fail;
	while ((cert = PEM_read_bio_X509(bio, NULL, give_password, NULL)) != NULL) {
		if (sk_X509_push(certs, cert) == 0) {
			X509_free(cert);
			goto fail;
		}
	}
	st = -EINVAL;
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		goto fail;
	ERR_clear_error();
	BIO_free(bio);
	*ret_certs = certs;
	return 0;
fail:
	BIO_free(bio);
	sk_X509_pop_free(certs, X509_free);
	return st;
}

static bool
has_private_key(BIO *pem)
{
	static const char mark[] = "PRIVATE KEY-----";
	char *text;
	long len = BIO_get_mem_data(pem, &text);

	return memmem(text, (size_t)len, mark, sizeof(mark) - 1) != NULL;
}

/* Takes certs: the first is the own one. */
static int
identity_from_pem(const struct tls_settings *ts, const char *key_name, const char *file, BIO *key,
		  STACK_OF(X509) * certs, char *err, struct tls_identity *id)
{
	const char *why;

	id->cert = sk_X509_shift(certs);
	id->chain = certs;
	if (id->cert == NULL)
		return tls_fail(err, ts, key_name, file, "there is no certificate in it");
	if (!has_private_key(key))
		return tls_fail(err, ts, key_name, file, "there is no private key in it");
	id->key =
	    PEM_read_bio_PrivateKey(key, NULL, give_password, (void *)(uintptr_t)ts->key_password);
	if (id->key != NULL)
		return 0;
	why = tls_openssl_reason();
	if (ts->key_password == NULL && strstr(why, "password") != NULL)
		why = "the private key is encrypted: set ssl.key.password";
	return tls_fail(err, ts, "ssl.key.password", file, why);
}

/* ---- PKCS#12 ---- */

static bool
load_legacy(void)
{
	/* Loading one provider switches the automatic default off: name both. */
	return OSSL_PROVIDER_load(NULL, "default") != NULL &&
	       OSSL_PROVIDER_load(NULL, "legacy") != NULL;
}

/* Opens with password. ret_key and ret_cert may come out NULL: a store of certificates. */
static int
parse_pkcs12(struct slice data, const char *password, EVP_PKEY **ret_key, X509 **ret_cert,
	     STACK_OF(X509) * *ret_others, const char **ret_why)
{
	const uint8_t *p = data.data;
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)data.len);
	int ok;

	if (p12 == NULL) {
		*ret_why = "it is not PKCS#12, or damaged";
		ERR_clear_error();
		return -EINVAL;
	}
	ok = PKCS12_parse(p12, password, ret_key, ret_cert, ret_others);
	if (!ok && ERR_GET_REASON(ERR_peek_last_error()) != PKCS12_R_MAC_VERIFY_FAILURE &&
	    load_legacy()) {
		ERR_clear_error();
		ok = PKCS12_parse(p12, password, ret_key, ret_cert, ret_others);
	}
	if (!ok && ERR_GET_REASON(ERR_peek_last_error()) == PKCS12_R_MAC_VERIFY_FAILURE) {
		*ret_why = password == NULL ? "it needs a password" : "the password is wrong";
		ERR_clear_error();
	} else if (!ok) {
		*ret_why = tls_openssl_reason();
	}
	PKCS12_free(p12);
	return ok ? 0 : -EINVAL;
}

/* Sorts others into id->chain, from the issuer of the certificate on; drops what is no link. */
static int
build_chain(struct tls_identity *id, STACK_OF(X509) * others)
{
	X509 *last = id->cert;
	bool found = true;

	id->chain = sk_X509_new_null();
	if (id->chain == NULL)
		return -ENOMEM;
	while (found && X509_check_issued(last, last) != X509_V_OK) {
		found = false;
		for (int i = 0; i < sk_X509_num(others) && !found; i++) {
			X509 *next = sk_X509_value(others, i);

			if (X509_check_issued(next, last) != X509_V_OK ||
			    sk_X509_num(id->chain) >= sk_X509_num(others))
				continue;
			if (X509_up_ref(next) != 1 || sk_X509_push(id->chain, next) == 0)
				return -ENOMEM;
			last = next;
			found = true;
		}
	}
	return 0;
}

static int
identity_from_pkcs12(const struct tls_settings *ts, struct slice data, char *err,
		     struct tls_identity *id)
{
	STACK_OF(X509) *others = NULL;
	const char *why = "";
	int st;

	st = parse_pkcs12(data, ts->keystore_password, &id->key, &id->cert, &others, &why);
	if (st != 0)
		return tls_fail(err, ts, "ssl.keystore.location", ts->keystore_location, why);
	if (id->key == NULL || id->cert == NULL)
		st = tls_fail(err, ts, "ssl.keystore.location", ts->keystore_location,
			      "there is no private key with a certificate in it");
	else
		st = build_chain(id, others);
	sk_X509_pop_free(others, X509_free);
	return st;
}

/* ---- either ---- */

static enum store_type
type_of_content(struct slice data)
{
	static const char begin[] = "-----BEGIN ";

	if (data.len >= 4 &&
	    (get_be32(data.data) == 0xfeedfeed || get_be32(data.data) == 0xcececece))
		return STORE_JKS;
	if (data.len >= 2 && data.data[0] == 0x30)
		return STORE_PKCS12;
	if (memmem(data.data, data.len, begin, sizeof(begin) - 1) != NULL)
		return STORE_PEM;
	return STORE_UNKNOWN;
}

/* Reads a store's file. which: "keystore" or "truststore". */
static int
read_store(struct env *env, const struct tls_settings *ts, const char *which, const char *type,
	   const char *path, char *err, struct buf *ret_data, enum store_type *ret_type)
{
	char key[64], why[TLS_ERR_LEN];
	enum store_type content;
	bool pem, pkcs12;
	int st;

	snprintf(key, sizeof(key), "ssl.%s.type", which);
	pem = type != NULL && strcasecmp(type, "PEM") == 0;
	pkcs12 = type != NULL && strcasecmp(type, "PKCS12") == 0;
	if (is_set(type) && !pem && !pkcs12 && strcasecmp(type, "JKS") != 0)
		return tls_fail(err, ts, key, type, "not one of PEM, PKCS12, JKS");
	snprintf(key, sizeof(key), "ssl.%s.location", which);
	st = env_read_file(env, AT_FDCWD, path, STORE_MAX_BYTES, ret_data);
	if (st == -ENOMEM)
		return st;
	if (st != 0)
		return tls_fail(err, ts, key, path, strerrordesc_np(-st));
	content = type_of_content(buf_slice(ret_data));
	if (content == STORE_JKS) {
		snprintf(why, sizeof(why),
			 "a Java key store (JKS) is not read here; convert it: keytool "
			 "-importkeystore -srckeystore %s -destkeystore %s.p12 -deststoretype "
			 "PKCS12, and set ssl.%s.type=PKCS12",
			 path, path, which);
		return tls_fail(err, ts, key, path, why);
	}
	if (content == STORE_UNKNOWN || (pem && content != STORE_PEM) ||
	    (pkcs12 && content != STORE_PKCS12)) {
		if (pem || pkcs12)
			snprintf(why, sizeof(why), "it is not %s, as ssl.%s.type says",
				 pem ? "PEM" : "PKCS#12", which);
		else
			snprintf(why, sizeof(why), "it is neither PEM nor PKCS#12");
		return tls_fail(err, ts, key, path, why);
	}
	*ret_type = content;
	return 0;
}

static int
identity_from_file(struct env *env, const struct tls_settings *ts, char *err,
		   struct tls_identity *id)
{
	static const char key_name[] = "ssl.keystore.location";
	STACK_OF(X509) *certs = NULL;
	enum store_type type;
	struct buf data = {0};
	BIO *key = NULL;
	int st;

	st = read_store(env, ts, "keystore", ts->keystore_type, ts->keystore_location, err, &data,
			&type);
	if (st != 0)
		goto out;
	if (type == STORE_PKCS12) {
		st = identity_from_pkcs12(ts, buf_slice(&data), err, id);
		goto out;
	}
	st = pem_certificates((const char *)data.data, data.len, &certs);
	if (st == -EINVAL) {
		st = tls_fail(err, ts, key_name, ts->keystore_location, tls_openssl_reason());
		goto out;
	}
	key = open_pem((const char *)data.data, data.len);
	if (st != 0 || key == NULL) {
		sk_X509_pop_free(certs, X509_free);
		st = -ENOMEM;
		goto out;
	}
	st = identity_from_pem(ts, key_name, ts->keystore_location, key, certs, err, id);
out:
	BIO_free(key);
	if (data.data != NULL)
		OPENSSL_cleanse(data.data, data.len);
	buf_fini(&data);
	return st;
}

static int
identity_from_text(const struct tls_settings *ts, char *err, struct tls_identity *id)
{
	const char *chain = ts->keystore_certificate_chain;
	STACK_OF(X509) *certs = NULL;
	BIO *key;
	int st;

	if (!is_set(chain))
		return tls_fail(err, ts, "ssl.keystore.certificate.chain", NULL,
				"is needed beside ssl.keystore.key");
	if (!is_set(ts->keystore_key))
		return tls_fail(err, ts, "ssl.keystore.key", NULL,
				"is needed beside ssl.keystore.certificate.chain");
	st = pem_certificates(chain, strlen(chain), &certs);
	if (st == -EINVAL)
		return tls_fail(err, ts, "ssl.keystore.certificate.chain", NULL,
				tls_openssl_reason());
	key = open_pem(ts->keystore_key, strlen(ts->keystore_key));
	if (st != 0 || key == NULL) {
		sk_X509_pop_free(certs, X509_free);
		return -ENOMEM;
	}
	st = identity_from_pem(ts, "ssl.keystore.key", NULL, key, certs, err, id);
	BIO_free(key);
	return st;
}

int
tls_load_identity(struct env *env, const struct tls_settings *ts, char *err,
		  struct tls_identity *ret_identity)
{
	struct tls_identity id = {0};
	int st = 0;

	ERR_clear_error();
	if (is_set(ts->keystore_key) || is_set(ts->keystore_certificate_chain))
		st = identity_from_text(ts, err, &id);
	else if (is_set(ts->keystore_location))
		st = identity_from_file(env, ts, err, &id);
	if (st == 0 && id.key != NULL && X509_check_private_key(id.cert, id.key) != 1) {
		ERR_clear_error();
		st = tls_fail(err, ts,
			      is_set(ts->keystore_key) ? "ssl.keystore.key"
						       : "ssl.keystore.location",
			      is_set(ts->keystore_key) ? NULL : ts->keystore_location,
			      "the private key does not belong to the first certificate");
	}
	if (st != 0)
		tls_identity_fini(&id);
	else
		*ret_identity = id;
	return st;
}

void
tls_identity_fini(struct tls_identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	sk_X509_pop_free(id->chain, X509_free);
	*id = (struct tls_identity){0};
}

/* Every certificate of a PKCS#12 store; one with a key in it counts as well. */
static int
trusted_from_pkcs12(const struct tls_settings *ts, struct slice data, char *err,
		    STACK_OF(X509) * *ret_trusted)
{
	STACK_OF(X509) *certs = NULL;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	const char *why = "";
	int st;

	st = parse_pkcs12(data, ts->truststore_password, &key, &cert, &certs, &why);
	EVP_PKEY_free(key);
	if (st != 0)
		return tls_fail(err, ts, "ssl.truststore.location", ts->truststore_location, why);
	if (certs == NULL)
		certs = sk_X509_new_null();
	if (certs == NULL || (cert != NULL && sk_X509_push(certs, cert) == 0)) {
		X509_free(cert);
		sk_X509_pop_free(certs, X509_free);
		return -ENOMEM;
	}
	*ret_trusted = certs;
	return 0;
}

int
tls_load_trusted(struct env *env, const struct tls_settings *ts, char *err,
		 STACK_OF(X509) * *ret_trusted)
{
	const char *text = ts->truststore_certificates, *file = ts->truststore_location;
	const char *key_name =
	    is_set(text) ? "ssl.truststore.certificates" : "ssl.truststore.location";
	STACK_OF(X509) *certs = NULL;
	enum store_type type = STORE_PEM;
	struct buf data = {0};
	int st = 0;

	ERR_clear_error();
	if (is_set(text)) {
		file = NULL;
		buf_append(&data, text, strlen(text));
		st = data.failed ? -ENOMEM : 0;
	} else if (is_set(file)) {
		st =
		    read_store(env, ts, "truststore", ts->truststore_type, file, err, &data, &type);
	} else {
		*ret_trusted = NULL;
		return 0;
	}
	if (st == 0 && type == STORE_PKCS12) {
		st = trusted_from_pkcs12(ts, buf_slice(&data), err, &certs);
	} else if (st == 0) {
		st = pem_certificates((const char *)data.data, data.len, &certs);
		if (st == -EINVAL)
			st = tls_fail(err, ts, key_name, file, tls_openssl_reason());
	}
	buf_fini(&data);
	if (st == 0 && sk_X509_num(certs) == 0) {
		sk_X509_pop_free(certs, X509_free);
		st = tls_fail(err, ts, key_name, file, "there is no certificate in it");
	}
	if (st == 0)
		*ret_trusted = certs;
	return st;
}
