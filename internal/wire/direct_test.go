package wire_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/internal/wire"
)

func TestDirectReplyToAddressesAreTold(t *testing.T) {
	t.Parallel()
	const (
		// As RabbitMQ 3.10.8 has made them.
		process = "g1h2AA5yZXBseUA1OTU3MTQyOAAAAt8AAAAAaw1jBw=="
		key     = "KvMptfyp6fi1LQORelmZsw=="
		prefix  = wire.DirectReplyTo + "."
		numbers = "\x00\x00\x02\xdf\x00\x00\x00\x00k\r\x63\x07"
	)
	encode := func(term string) string { return base64.StdEncoding.EncodeToString([]byte(term)) }
	for _, address := range []string{
		prefix + process + "." + key, prefix + process + "." + encode("key"),
		prefix + encode("\x83Xw\x08reply@12"+numbers) + "." + key,         // a short atom
		prefix + encode("\x83gd\x00\x08reply@12"+numbers[:9]) + "." + key, // a process of Erlang 22
	} {
		if !wire.IsDirectReplyTo(address) {
			t.Errorf("%q is refused", address)
		}
	}
	for _, address := range []string{
		"", wire.DirectReplyTo, prefix, prefix + process, prefix + process + ".", prefix + process + "." + key + ".x",
		prefix + "." + key, prefix + "." + process + "." + key, prefix + "!!!." + key, prefix + process + ".\xff\x00",
		prefix + strings.TrimRight(process, "=") + "." + key, prefix + process[:8] + "\n" + process[8:] + "." + key,
		prefix + encode("\x83h\x02a\x01a\x02") + "." + key, // a tuple
		prefix + encode("\x83Xv\x00\x08reply@12"+numbers+"x") + "." + key,
		prefix + encode("\x83Xv\x00\x08reply@12"+numbers[1:]) + "." + key,
		prefix + encode("\x83Xv\xff\xffreply@12"+numbers) + "." + key,
		prefix + encode("\x83Xv\x00\x05reply"+numbers) + "." + key,
		prefix + encode("\x83Xv\x00\x00"+numbers) + "." + key, prefix + encode("\x83Xv\x00") + "." + key,
		prefix + encode("\x83Xw\x00") + "." + key, prefix + encode("\x83Xw") + "." + key,
		prefix + encode("\x82Xv\x00\x08reply@12"+numbers) + "." + key,
		"amq.rabbitmq.other." + process + "." + key,
	} {
		if wire.IsDirectReplyTo(address) {
			t.Errorf("%q is taken", address)
		}
	}
}

func FuzzIsDirectReplyTo(f *testing.F) {
	f.Add("g1h2AA5yZXBseUA1OTU3MTQyOAAAAt8AAAAAaw1jBw==.KvMptfyp6fi1LQORelmZsw==")
	f.Fuzz(func(_ *testing.T, rest string) { wire.IsDirectReplyTo(wire.DirectReplyTo + "." + rest) })
}
