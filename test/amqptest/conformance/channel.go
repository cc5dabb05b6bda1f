package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var channelChecks = []check{
	{"opening a channel twice is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, channelOpen, "")
		w.refused(0, 504, "CHANNEL_ERROR - second 'channel.open' seen", channelOpen)
	}},
	{"method on a channel never opened is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.declare(1, "q", nil)
		w.refused(0, 504, "CHANNEL_ERROR - expected 'channel.open'", queueDeclare)
	}},
	{"close of a channel never opened is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.call(1, channelClose, uint16(200), "", uint16(0), uint16(0))
		w.refused(0, 504, "CHANNEL_ERROR - expected 'channel.open'", channelClose)
	}},
	{"frames for a channel that the broker closed are ignored until close-ok", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.openChannel(2)
		w.call(1, queueDeclare, uint16(0), "missing", uint8(1), []byte{})
		w.refused(1, 404, "NOT_FOUND - no queue 'missing' in vhost '"+vhostOf(t, w.url.String())+"'", queueDeclare)
		w.declare(1, "ignored", nil)
		w.publish(1, "ignored")
		w.header(1, 60, 1)
		w.frame(bodyFrame, 1, []byte("x"))
		w.declare(2, "q", nil)
		w.expect(2, queueDeclareOk)
		w.call(1, channelCloseOk)
		w.openChannel(1)
		w.call(1, queueDeclare, uint16(0), "ignored", uint8(1), []byte{})
		w.refused(1, 404, "NOT_FOUND...", queueDeclare)
	}},
	{"close crossing the broker's is answered", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, queueDeclare, uint16(0), "missing", uint8(1), []byte{})
		w.refused(1, 404, "NOT_FOUND...", queueDeclare)
		w.call(1, channelClose, uint16(200), "", uint16(0), uint16(0))
		w.expect(1, channelCloseOk)
		w.call(1, channelCloseOk)
		w.openChannel(1)
	}},
	{"channel.flow active is answered", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, channelFlow, uint8(1))
		in := w.expect(1, method{20, 21})
		same(t, "active", in.u8(), 1)
	}},
	{"channel.flow that would stop deliveries is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, channelFlow, uint8(0))
		w.refused(0, 540, "NOT_IMPLEMENTED - active=false", channelFlow)
	}},
	{"payload larger than frame_max is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.header(1, 60, 8192)
		w.frame(bodyFrame, 1, make([]byte, 8193))
		w.refused(0, 501, "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8193,8184}", method{})
	}},
	{"payload as large as a whole frame may be is accepted", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.header(1, 60, 8192)
		w.frame(bodyFrame, 1, make([]byte, 8192))
		w.declare(1, "q", nil)
		w.expect(1, queueDeclareOk)
	}},
	{"frame without its end octet is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.raw([]byte{1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 10, 0})
		w.refused(0, 501, "FRAME_ERROR - type 1, all octets = <<0,60,0,10>>: {invalid_frame_end_marker,0}", method{})
	}},
	{"unknown frame type is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.frame(7, 1, []byte("x"))
		w.refused(0, 501, "FRAME_ERROR - type 7, all octets = <<\"x\">>: unknown_frame", method{})
	}},
	{"method between publish and its header is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.declare(1, "q", nil)
		w.refused(0, 505, "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead", basicPublish)
	}},
	{"method before the end of a body is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.header(1, 60, 1)
		w.declare(1, "q", nil)
		w.refused(0, 505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead", basicPublish)
	}},
	{"body without a header is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.frame(bodyFrame, 1, []byte("x"))
		w.refused(0, 505, "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead", basicPublish)
	}},
	{"header of another class is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.header(1, 50, 1)
		w.refused(0, 505, "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead", basicPublish)
	}},
	{"content without a publish is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.header(1, 60, 1)
		w.refused(0, 505, "UNEXPECTED_FRAME - expected method frame, got non method frame instead", method{})
	}},
	{"body larger than declared is noticed with the next method", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.publish(1, "q")
		w.header(1, 60, 1)
		w.frame(bodyFrame, 1, []byte("xx"))
		w.declare(1, "q", nil)
		w.refused(0, 505, "UNEXPECTED_FRAME - expected content body, got non content body frame instead", basicPublish)
	}},
	{"unknown class ends the connection without a word", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, method{99, 1})
		w.ends()
	}},
	{"unknown method ends the connection without a word", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, method{50, 99})
		w.ends()
	}},
	{"method that only a broker may send is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, queueDeclareOk, "q", uint32(0), uint32(0))
		w.refused(0, 503, "COMMAND_INVALID - unimplemented method", method{50, 11})
	}},
	{"connection method on another channel is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, connectionOpen, "x", "", uint8(0))
		w.refused(0, 503, "COMMAND_INVALID - unimplemented method", connectionOpen)
	}},
	{"channel method on channel 0 is refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.call(0, channelOpen, "")
		w.refused(0, 504, "CHANNEL_ERROR - unexpected method in connection state running", channelOpen)
	}},
	{"table with an unknown type ends the connection without a word", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.declare(1, "q", []byte("\x01a?\x00"))
		w.ends()
	}},
	{"truncated table ends the connection without a word", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.declare(1, "q", []byte("\x01aI\x00"))
		w.ends()
	}},
	{"arguments that end early are refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, queueDeclare, uint16(0))
		w.refused(0, 501, "FRAME_ERROR - cannot decode <<0,0>>", queueDeclare)
	}},
	{"arguments with bytes left over are refused", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(1, queueDeclare, uint16(0), "q", uint8(0b100), []byte{}, uint8(1))
		w.refused(0, 501, "FRAME_ERROR - cannot decode...", queueDeclare)
	}},
	{"user_id other than the user's own is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		send(s, "", "q", "guest")
		s.holds("q", "guest")
		send(s, "", "q", "other")
		s.closes(406, "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'")
	}},
}

func send(s *session, exchange, key, user string) {
	_ = s.Publish(exchange, key, false, false, amqp.Publishing{UserId: user, Body: []byte(user)})
}
