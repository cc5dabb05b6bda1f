/* A recipe server.
 *
 * It reports what happens as one JSON object per line: ready, request (with the request's properties),
 * replied, acked. A body that is not a number ends it in the modes fib and email.
 */

#include "recipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const addresses[] = {"",
                                        "ada@example.org",
                                        "blaise@example.org",
                                        "charles@example.org",
                                        "donald@example.org",
                                        "edsger@example.org"};

struct options {
  const char *queue, *type, *mode, *hold;
  long replies;
};

static uint64_t number(amqp_bytes_t body) {
  char digits[20], *end;
  if (body.len == 0 || body.len >= sizeof digits) die("not a number");
  memcpy(digits, body.bytes, body.len);
  digits[body.len] = '\0';
  uint64_t value = strtoull(digits, &end, 10);
  if (*end != '\0') die("not a number");
  return value;
}

static uint64_t fib(uint64_t n) {
  uint64_t a = 0, b = 1;
  for (; n > 0; n--) {
    uint64_t next = a + b;
    a = b;
    b = next;
  }
  return a;
}

/* result may return a pointer into a buffer that the next call writes again. */
static amqp_bytes_t result(const char *mode, amqp_bytes_t body) {
  static char digits[32];
  if (strcmp(mode, "echo") == 0) return body;
  uint64_t n = number(body);
  if (strcmp(mode, "email") == 0)
    return amqp_cstring_bytes(n < sizeof addresses / sizeof *addresses ? addresses[n] : "");
  snprintf(digits, sizeof digits, "%" PRIu64, fib(n));
  return amqp_cstring_bytes(digits);
}

static void report(const char *event, amqp_bytes_t id) {
  printf("{\"event\": \"%s\"", event);
  member_text("correlation_id", id);
  puts("}");
}

static void report_request(const amqp_envelope_t *request) {
  const amqp_basic_properties_t *p = &request->message.properties;
  printf("{\"event\": \"request\"");
  member_text("correlation_id", property(p, AMQP_BASIC_CORRELATION_ID_FLAG, p->correlation_id));
  member_text("reply_to", property(p, AMQP_BASIC_REPLY_TO_FLAG, p->reply_to));
  member_text("type", property(p, AMQP_BASIC_TYPE_FLAG, p->type));
  member_text("content_type", property(p, AMQP_BASIC_CONTENT_TYPE_FLAG, p->content_type));
  member_text("expiration", property(p, AMQP_BASIC_EXPIRATION_FLAG, p->expiration));
  member_number("delivery_mode", (p->_flags & AMQP_BASIC_DELIVERY_MODE_FLAG) ? p->delivery_mode : 0);
  member_headers("headers", p);
  member_flag("redelivered", request->redelivered);
  member_number("size", request->message.body.len);
  puts("}");
}

static void serve(amqp_connection_state_t connection, const struct options *options, const amqp_envelope_t *request) {
  const amqp_basic_properties_t *asked = &request->message.properties;
  amqp_bytes_t id = property(asked, AMQP_BASIC_CORRELATION_ID_FLAG, asked->correlation_id);
  amqp_bytes_t reply_to = property(asked, AMQP_BASIC_REPLY_TO_FLAG, asked->reply_to);
  report_request(request);
  amqp_bytes_t answer = result(options->mode, request->message.body);
  if (strcmp(options->hold, "before-reply") == 0) pause();
  for (long i = 0; i < options->replies; i++) {
    amqp_basic_properties_t reply = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG, .correlation_id = id};
    if (amqp_basic_publish(connection, 1, amqp_empty_bytes, reply_to, 0, 0, &reply, answer) != AMQP_STATUS_OK)
      die("the reply cannot be written");
  }
  report("replied", id);
  if (strcmp(options->hold, "before-ack") == 0) pause();
  if (amqp_basic_ack(connection, 1, request->delivery_tag, 0) != AMQP_STATUS_OK) die("cannot acknowledge");
  report("acked", id);
}

static void declare(amqp_connection_state_t connection, const struct options *options) {
  amqp_table_entry_t quorum = {.key = amqp_cstring_bytes("x-queue-type"),
                               .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")}};
  amqp_table_t arguments = {.num_entries = strcmp(options->type, "quorum") == 0, .entries = &quorum};
  int durable = strcmp(options->type, "transient") != 0;
  amqp_queue_declare(connection, 1, amqp_cstring_bytes(options->queue), 0, durable, 0, 0, arguments);
  check(connection, "declare the queue");
}

int main(int argc, char **argv) {
  struct options options = {
      .queue = required(argc, argv, "queue"),
      .type = required(argc, argv, "queue-type"),   /* quorum, classic (durable) or transient */
      .mode = required(argc, argv, "mode"),         /* fib, echo or email */
      .replies = atol(required(argc, argv, "replies")), /* how often each request is answered */
      .hold = option(argc, argv, "hold"),           /* before-reply or before-ack: stops there until killed */
  };
  if (options.hold == NULL) options.hold = "";
  setvbuf(stdout, NULL, _IOLBF, 0);
  amqp_connection_state_t connection = dial(required(argc, argv, "url"));
  declare(connection, &options);
  amqp_basic_qos(connection, 1, 0, 1, 0);
  check(connection, "limit the prefetch");
  amqp_basic_consume(connection, 1, amqp_cstring_bytes(options.queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check(connection, "consume requests");
  puts("{\"event\": \"ready\"}");
  for (;;) {
    amqp_envelope_t request = consume_one(connection);
    serve(connection, &options, &request);
    amqp_destroy_envelope(&request);
  }
}
