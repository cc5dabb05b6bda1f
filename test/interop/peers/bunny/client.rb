# A recipe client: makes one call and prints the reply as one JSON object, its body in base64.

require 'base64'
require 'bunny'
require 'json'
require 'optparse'

options = {}
OptionParser.new do |parser|
  parser.on('--url=URL')
  parser.on('--queue=QUEUE')
  parser.on('--body-file=FILE')
  parser.on('--correlation-id=ID')
  parser.on('--direct-reply-to') # no reply queue of its own
end.parse!(into: options)

# Bunny logs to standard output unless told otherwise.
connection = Bunny.new(options[:url], log_file: $stderr, automatically_recover: false).start
channel = connection.create_channel
replies =
  if options[:'direct-reply-to']
    Bunny::Queue.new(channel, 'amq.rabbitmq.reply-to', no_declare: true)
  else
    channel.queue('', exclusive: true)
  end

answers = Thread::Queue.new
replies.subscribe do |_delivery, properties, body|
  if properties.correlation_id == options[:'correlation-id']
    answers << [properties, body]
  else
    warn "foreign reply: #{properties.correlation_id}"
  end
end
channel.default_exchange.publish(
  File.binread(options[:'body-file']),
  routing_key: options[:queue], correlation_id: options[:'correlation-id'], reply_to: replies.name
)
properties, body = answers.pop
puts JSON.generate(
  type: properties.type,
  content_type: properties.content_type,
  correlation_id: properties.correlation_id,
  headers: properties.headers,
  body: Base64.strict_encode64(body)
)
connection.close
