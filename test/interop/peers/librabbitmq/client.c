/* A recipe client: makes one call and prints the reply as one JSON object, its body in base64. */

#include "recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static amqp_bytes_t read_file(const char *name) {
  FILE *file = fopen(name, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) die("the body cannot be read");
  amqp_bytes_t body = amqp_bytes_malloc((size_t)ftell(file) + 1);
  if (body.bytes == NULL) die("out of memory");
  rewind(file);
  body.len = fread(body.bytes, 1, body.len, file);
  fclose(file);
  return body;
}

/* answered waits for the reply that bears the call's correlation ID. */
static amqp_envelope_t answered(amqp_connection_state_t connection, amqp_bytes_t id) {
  for (;;) {
    amqp_envelope_t reply = consume_one(connection);
    const amqp_basic_properties_t *properties = &reply.message.properties;
    amqp_bytes_t of = property(properties, AMQP_BASIC_CORRELATION_ID_FLAG, properties->correlation_id);
    if (of.len == id.len && memcmp(of.bytes, id.bytes, id.len) == 0) return reply;
    fprintf(stderr, "foreign reply: %.*s\n", (int)of.len, (const char *)of.bytes);
    amqp_destroy_envelope(&reply);
  }
}

int main(int argc, char **argv) {
  if (option(argc, argv, "version") != NULL) {
    puts(amqp_version());
    return 0;
  }
  amqp_bytes_t id = amqp_cstring_bytes(required(argc, argv, "correlation-id"));
  amqp_bytes_t queue = amqp_cstring_bytes(required(argc, argv, "queue"));
  amqp_bytes_t body = read_file(required(argc, argv, "body-file"));
  amqp_connection_state_t connection = dial(required(argc, argv, "url"));

  amqp_bytes_t replies = amqp_cstring_bytes("amq.rabbitmq.reply-to");
  if (option(argc, argv, "direct-reply-to") == NULL) {
    amqp_queue_declare_ok_t *own = amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    check(connection, "declare the reply queue");
    replies = amqp_bytes_malloc_dup(own->queue);
  }
  amqp_basic_consume(connection, 1, replies, amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
  check(connection, "consume replies");

  amqp_basic_properties_t request = {
      ._flags = AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG, .correlation_id = id, .reply_to = replies};
  if (amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, 0, 0, &request, body) != AMQP_STATUS_OK)
    die("the request cannot be written");

  amqp_envelope_t reply = answered(connection, id);
  const amqp_basic_properties_t *properties = &reply.message.properties;
  printf("{\"event\": \"reply\"");
  member_text("type", property(properties, AMQP_BASIC_TYPE_FLAG, properties->type));
  member_text("content_type", property(properties, AMQP_BASIC_CONTENT_TYPE_FLAG, properties->content_type));
  member_text("correlation_id", properties->correlation_id);
  member_headers("headers", properties);
  member_base64("body", reply.message.body);
  puts("}");
  amqp_destroy_envelope(&reply);
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  return amqp_destroy_connection(connection) == AMQP_STATUS_OK ? 0 : 1;
}
