# A recipe server.
#
# It reports what happens as one JSON object per line: ready, request (with the request's
# properties), replied, acked. A body that is not a number ends it in the modes fib and email.

require 'bunny'
require 'json'
require 'optparse'

ADDRESSES = {
  1 => 'ada@example.org', 2 => 'blaise@example.org', 3 => 'charles@example.org',
  4 => 'donald@example.org', 5 => 'edsger@example.org'
}.freeze

def report(event, **details)
  puts JSON.generate(event: event, **details)
end

def fib(n)
  a, b = 0, 1
  n.times { a, b = b, a + b }
  a
end

def result(mode, body)
  case mode
  when 'echo' then body
  when 'fib' then fib(Integer(body, 10)).to_s
  when 'email' then ADDRESSES.fetch(Integer(body, 10), '')
  end
end

options = { 'queue-type': 'quorum', mode: 'fib', replies: 1 }
OptionParser.new do |parser|
  parser.on('--url=URL')
  parser.on('--queue=QUEUE')
  parser.on('--queue-type=TYPE', %w[quorum classic transient])
  parser.on('--mode=MODE', %w[fib echo email])
  parser.on('--replies=N', Integer) # how often each request is answered
  parser.on('--hold=WHERE', %w[before-reply before-ack]) # stop there with the first request, until killed
end.parse!(into: options)

$stdout.sync = true
connection = Bunny.new(options[:url], log_file: $stderr, automatically_recover: false).start
channel = connection.create_channel
# What a consumer raises would otherwise be logged, and the next request awaited.
channel.on_uncaught_exception { |failure, _consumer| abort(failure.full_message) }
queue = channel.queue(
  options[:queue],
  durable: options[:'queue-type'] != 'transient',
  arguments: options[:'queue-type'] == 'quorum' ? { 'x-queue-type' => 'quorum' } : {}
)
channel.prefetch(1)
queue.subscribe(manual_ack: true) do |delivery, properties, body|
  id = properties.correlation_id
  report('request',
         correlation_id: id,
         reply_to: properties.reply_to,
         type: properties.type,
         content_type: properties.content_type,
         expiration: properties.expiration,
         delivery_mode: properties.delivery_mode,
         headers: properties.headers,
         redelivered: delivery.redelivered?,
         size: body.bytesize)
  answer = result(options[:mode], body)
  sleep if options[:hold] == 'before-reply'
  options[:replies].times do
    channel.default_exchange.publish(answer, routing_key: properties.reply_to, correlation_id: id)
  end
  report('replied', correlation_id: id)
  sleep if options[:hold] == 'before-ack'
  channel.ack(delivery.delivery_tag)
  report('acked', correlation_id: id)
end
report('ready')
sleep
