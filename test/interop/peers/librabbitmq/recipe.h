/* What the client and the server share. */
#ifndef RECIPE_H
#define RECIPE_H

#include <amqp.h>
#include <stddef.h>

/* die says why on standard error and ends the program. */
void die(const char *why);

/* option returns the value of --name=value, "" of --name alone, and otherwise NULL. */
const char *option(int argc, char **argv, const char *name);

/* required is option; without it the program ends. */
const char *required(int argc, char **argv, const char *name);

/* dial opens channel 1 on a connection to an address. The program ends if that fails. */
amqp_connection_state_t dial(const char *url);

/* check ends the program if the last call that waits for the broker's answer has failed. */
void check(amqp_connection_state_t connection, const char *what);

/* consume_one waits for the next delivery; the caller destroys the envelope. */
amqp_envelope_t consume_one(amqp_connection_state_t connection);

/* property returns a property's value if its flag is set, and otherwise nothing. */
amqp_bytes_t property(const amqp_basic_properties_t *properties, amqp_flags_t flag, amqp_bytes_t value);

/* These print a member of a JSON object, with the comma before it. */
void member_text(const char *name, amqp_bytes_t value);
void member_number(const char *name, size_t value);
void member_flag(const char *name, int value);
void member_base64(const char *name, amqp_bytes_t value);

/* member_headers prints a header table. Values other than text are null. */
void member_headers(const char *name, const amqp_basic_properties_t *properties);

#endif
