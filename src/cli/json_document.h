/*
 * json_document.h - one JSON document on standard output, and values that may be null or no UTF-8.
 */
#ifndef KLAMM_CLI_JSON_DOCUMENT_H
#define KLAMM_CLI_JSON_DOCUMENT_H

#include <jansson.h>

/* null for NULL; bytes that are no UTF-8 become question marks. */
json_t *json_text(const char *text);
/* Prints and frees. Returns CLI_DONE, or CLI_REFUSED without memory (root NULL included). */
int json_document_print(json_t *root);
/* The same on one line. */
int json_line_print(json_t *root);

#endif
