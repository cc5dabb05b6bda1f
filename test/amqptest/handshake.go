package amqptest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

const protocolHeader = "AMQP\x00\x00\x09\x01"

// Version is the version of RabbitMQ that the broker gives as its own, since clients go by it.
const Version = "3.10.8"

// serverCapabilities are those of RabbitMQ 3.10.
var serverCapabilities = []string{
	"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
	"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
}

// capabilities are what a client says that it understands.
type capabilities struct {
	blocked, cancel, refusal bool
}

// greet checks the protocol header and sends start, or the header that it would have wanted.
func (c *conn) greet() bool {
	header, err := c.in.ProtocolHeader()
	if err != nil {
		if header != ([8]byte{}) {
			c.logf("no protocol header: %v", err)
		}
		return false
	}
	if string(header[:]) != protocolHeader {
		c.logf("bad protocol header %q", header)
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingering))
		if _, err := c.nc.Write([]byte(protocolHeader)); err == nil {
			c.drain(lingering)
		}
		return false
	}
	can := codec.Table{}
	for _, name := range serverCapabilities {
		can = append(can, codec.Entry{Key: name, Value: true})
	}
	mechanisms := "PLAIN AMQPLAIN"
	if c.takesCertificates() {
		mechanisms = "EXTERNAL " + mechanisms
	}
	c.put0(&codec.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9,
		ServerProperties: codec.Table{
			{Key: "capabilities", Value: can},
			{Key: "cluster_name", Value: "amqptest"},
			{Key: "copyright", Value: "The Warren authors"},
			{Key: "information", Value: "An in-process broker for tests and development"},
			{Key: "platform", Value: "Go"},
			{Key: "product", Value: "Warren amqptest"},
			{Key: "version", Value: Version},
		},
		Mechanisms: mechanisms, Locales: "en_US",
	})
	return true
}

// put0 sends a method on channel 0.
func (c *conn) put0(m codec.Method) { c.out.put(0, m, nil) }

// startOk logs the client in.
func (c *conn) startOk(m *codec.ConnectionStartOk) {
	c.understands = understood(m.ClientProperties)
	c.inform(func(i *connInfo) { i.hearsBlocked = c.understands.blocked })
	if name, ok := text(m.ClientProperties, "connection_name"); ok {
		c.inform(func(i *connInfo) { i.name = name })
		c.source.identify(name, "", "")
	}
	user, password, err := c.credentials(m)
	if err != nil {
		c.hangUp("%v", err)
		return
	}
	a := c.b.account(user)
	if a == nil || m.Mechanism != "EXTERNAL" && a.Password != password {
		c.logf("%s login refused: user '%s' - invalid credentials", m.Mechanism, user)
		if !c.understands.refusal {
			c.hangUp("the client does not want to hear why")
			return
		}
		c.shut(&codec.Error{
			Code: codec.AccessRefused,
			Text: "Login was refused using authentication mechanism " + m.Mechanism + ". For details see the broker logfile.",
		})
		return
	}
	c.account, c.state = a, stateTuning
	c.inform(func(i *connInfo) {
		i.user = user
		c.source.identify(i.name, user, "")
	})
	o := &c.b.options
	c.put0(&codec.ConnectionTune{ChannelMax: o.ChannelMax, FrameMax: o.FrameMax, Heartbeat: o.heartbeat()})
}

func (c *conn) credentials(m *codec.ConnectionStartOk) (user, password string, err error) {
	var ok bool
	switch {
	case m.Mechanism == "PLAIN":
		user, password, ok = plain(m.Response)
	case m.Mechanism == "AMQPLAIN":
		user, password, ok = amqplain(m.Response)
	case m.Mechanism == "EXTERNAL" && c.takesCertificates():
		user, ok = c.commonName()
	default:
		return "", "", fmt.Errorf("unknown authentication mechanism '%s'", m.Mechanism)
	}
	if !ok {
		return "", "", fmt.Errorf("invalid response to authentication mechanism %s", m.Mechanism)
	}
	return user, password, nil
}

func plain(response string) (user, password string, ok bool) {
	parts := strings.Split(response, "\x00")
	if len(parts) != 3 || parts[0] != "" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// amqplain takes a table apart that holds long strings and has no length in front.
func amqplain(response string) (user, password string, ok bool) {
	values := map[string]string{}
	for rest := response; rest != ""; {
		n := int(rest[0])
		if len(rest) < n+6 || rest[n+1] != 'S' {
			return "", "", false
		}
		key, length, value := rest[1:n+1], rest[n+2:n+6], rest[n+6:]
		size := uint64(length[0])<<24 | uint64(length[1])<<16 | uint64(length[2])<<8 | uint64(length[3])
		if size > uint64(len(value)) {
			return "", "", false
		}
		values[key], rest = value[:size], value[size:]
	}
	user, hasUser := values["LOGIN"]
	password, hasPassword := values["PASSWORD"]
	return user, password, hasUser && hasPassword
}

func (c *conn) takesCertificates() bool {
	config := c.b.options.TLS
	return config != nil && config.ClientAuth >= tls.VerifyClientCertIfGiven
}

func (c *conn) commonName() (string, bool) {
	conn, ok := c.nc.(*tls.Conn)
	if !ok {
		return "", false
	}
	chains := conn.ConnectionState().VerifiedChains
	i := slices.IndexFunc(chains, func(chain []*x509.Certificate) bool { return len(chain) > 0 })
	if i < 0 {
		return "", false
	}
	return chains[i][0].Subject.CommonName, true
}

// tuneOk takes over what the client has chosen.
func (c *conn) tuneOk(m *codec.ConnectionTuneOk) {
	o := &c.b.options
	switch {
	case m.FrameMax < codec.MinFrameSize || m.FrameMax > o.FrameMax:
		c.hangUp("negotiated frame_max = %d is not within %d and %d", m.FrameMax, codec.MinFrameSize, o.FrameMax)
		return
	case m.ChannelMax == 0 || m.ChannelMax > o.ChannelMax:
		c.hangUp("negotiated channel_max = %d is not within 1 and %d", m.ChannelMax, o.ChannelMax)
		return
	}
	c.state, c.channelMax = stateOpening, m.ChannelMax
	c.frameLimit.Store(m.FrameMax)
	// RabbitMQ takes payloads as large as a whole frame may be.
	c.in.Limit(m.FrameMax + codec.FrameOverhead)
	if m.Heartbeat > 0 {
		c.workers.Add(1)
		go c.beat(time.Duration(m.Heartbeat) * time.Second)
	}
}

func (c *conn) open(m *codec.ConnectionOpen) {
	refuse := func(format string, args ...any) {
		c.shut(errorAt(m, codec.NotAllowed, format, args...))
	}
	name, user := m.VirtualHost, c.account.rights.Name
	h := c.b.host(name)
	switch {
	case h == nil:
		refuse("vhost %s not found", name)
		return
	case !c.account.mayEnter(name):
		refuse("access to vhost '%s' refused for user '%s'", name, user)
		return
	case !c.handshake.Stop():
		return // too late: the socket is being closed
	}
	c.host, c.state = h.Connect(c.account.rights), stateRunning
	c.inform(func(i *connInfo) {
		i.vhost, i.host = name, h
		c.source.identify(i.name, user, name)
	})
	c.put0(&codec.ConnectionOpenOk{})
}

func understood(properties codec.Table) capabilities {
	v, _ := properties.Get("capabilities")
	table, _ := v.(codec.Table)
	has := func(name string) bool {
		v, _ := table.Get(name)
		return v == true
	}
	return capabilities{
		blocked: has("connection.blocked"), cancel: has("consumer_cancel_notify"), refusal: has("authentication_failure_close"),
	}
}

func text(t codec.Table, key string) (string, bool) {
	v, _ := t.Get(key)
	s, ok := v.(string)
	return s, ok
}
