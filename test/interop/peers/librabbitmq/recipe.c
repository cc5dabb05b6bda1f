#include "recipe.h"

#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

const char *option(int argc, char **argv, const char *name) {
  size_t length = strlen(name);
  for (int i = 1; i < argc; i++) {
    const char *given = argv[i];
    if (strncmp(given, "--", 2) != 0 || strncmp(given + 2, name, length) != 0) continue;
    if (given[2 + length] == '=') return given + 3 + length;
    if (given[2 + length] == '\0') return "";
  }
  return NULL;
}

const char *required(int argc, char **argv, const char *name) {
  const char *value = option(argc, argv, name);
  if (value == NULL) {
    fprintf(stderr, "--%s is missing\n", name);
    exit(2);
  }
  return value;
}

void check(amqp_connection_state_t connection, const char *what) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    fprintf(stderr, "%s: %s\n", what, amqp_error_string2(reply.library_error));
  else
    fprintf(stderr, "%s: the broker answered with %s\n", what, amqp_method_name(reply.reply.id));
  exit(1);
}

amqp_connection_state_t dial(const char *url) {
  struct amqp_connection_info at;
  amqp_default_connection_info(&at);
  char *parsed = strdup(url); /* at points into it */
  if (parsed == NULL || amqp_parse_url(parsed, &at) != AMQP_STATUS_OK) die("not an address");
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (socket == NULL || amqp_socket_open(socket, at.host, at.port) != AMQP_STATUS_OK) die("cannot connect");
  amqp_rpc_reply_t login = amqp_login(connection, at.vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE,
                                      AMQP_DEFAULT_HEARTBEAT, AMQP_SASL_METHOD_PLAIN, at.user, at.password);
  if (login.reply_type != AMQP_RESPONSE_NORMAL) die("not let in");
  free(parsed);
  amqp_channel_open(connection, 1);
  check(connection, "open a channel");
  return connection;
}

amqp_envelope_t consume_one(amqp_connection_state_t connection) {
  amqp_envelope_t envelope;
  amqp_maybe_release_buffers(connection);
  amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, NULL, 0);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("the connection or the channel was closed");
  return envelope;
}

amqp_bytes_t property(const amqp_basic_properties_t *properties, amqp_flags_t flag, amqp_bytes_t value) {
  return (properties->_flags & flag) ? value : amqp_empty_bytes;
}

static void text(amqp_bytes_t value) {
  const unsigned char *byte = value.bytes;
  putchar('"');
  for (size_t i = 0; i < value.len; i++) {
    if (byte[i] < 0x20 || byte[i] == '"' || byte[i] == '\\')
      printf("\\u%04x", byte[i]);
    else
      putchar(byte[i]);
  }
  putchar('"');
}

void member_text(const char *name, amqp_bytes_t value) {
  printf(", \"%s\": ", name);
  text(value);
}

void member_number(const char *name, size_t value) { printf(", \"%s\": %zu", name, value); }

void member_flag(const char *name, int value) { printf(", \"%s\": %s", name, value ? "true" : "false"); }

void member_base64(const char *name, amqp_bytes_t value) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *byte = value.bytes;
  printf(", \"%s\": \"", name);
  for (size_t i = 0; i < value.len; i += 3) {
    size_t there = value.len - i;
    unsigned long bits = (unsigned long)byte[i] << 16;
    if (there > 1) bits |= (unsigned long)byte[i + 1] << 8;
    if (there > 2) bits |= byte[i + 2];
    putchar(digits[bits >> 18 & 63]);
    putchar(digits[bits >> 12 & 63]);
    putchar(there > 1 ? digits[bits >> 6 & 63] : '=');
    putchar(there > 2 ? digits[bits & 63] : '=');
  }
  putchar('"');
}

void member_headers(const char *name, const amqp_basic_properties_t *properties) {
  printf(", \"%s\": {", name);
  int entries = (properties->_flags & AMQP_BASIC_HEADERS_FLAG) ? properties->headers.num_entries : 0;
  for (int i = 0; i < entries; i++) {
    const amqp_table_entry_t *entry = &properties->headers.entries[i];
    if (i > 0) printf(", ");
    text(entry->key);
    printf(": ");
    if (entry->value.kind == AMQP_FIELD_KIND_UTF8)
      text(entry->value.value.bytes);
    else
      printf("null");
  }
  putchar('}');
}
