package codec

// ConnectionStart opens the handshake: what the broker speaks and how a client may authenticate, names separated by
// spaces.
type ConnectionStart struct {
	VersionMajor, VersionMinor uint8
	ServerProperties           Table
	Mechanisms, Locales        string
}

func (m *ConnectionStart) walk(f fields) {
	f.octet(&m.VersionMajor)
	f.octet(&m.VersionMinor)
	f.table(&m.ServerProperties)
	f.longstr(&m.Mechanisms)
	f.longstr(&m.Locales)
}

// ConnectionStartOk answers ConnectionStart with the client's choice and its first SASL response.
type ConnectionStartOk struct {
	ClientProperties            Table
	Mechanism, Response, Locale string
}

func (m *ConnectionStartOk) walk(f fields) {
	f.table(&m.ClientProperties)
	f.shortstr(&m.Mechanism)
	f.longstr(&m.Response)
	f.shortstr(&m.Locale)
}

// ConnectionSecure asks for another SASL response.
type ConnectionSecure struct {
	Challenge string
}

func (m *ConnectionSecure) walk(f fields) {
	f.longstr(&m.Challenge)
}

// ConnectionSecureOk answers ConnectionSecure.
type ConnectionSecureOk struct {
	Response string
}

func (m *ConnectionSecureOk) walk(f fields) {
	f.longstr(&m.Response)
}

// ConnectionTune proposes limits; FrameMax counts whole frames, Heartbeat seconds, and 0 means none.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

func (m *ConnectionTune) walk(f fields) {
	f.short(&m.ChannelMax)
	f.long(&m.FrameMax)
	f.short(&m.Heartbeat)
}

// ConnectionTuneOk settles the limits that ConnectionTune proposed.
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

func (m *ConnectionTuneOk) walk(f fields) {
	f.short(&m.ChannelMax)
	f.long(&m.FrameMax)
	f.short(&m.Heartbeat)
}

// ConnectionOpen enters a virtual host.
type ConnectionOpen struct {
	VirtualHost string
}

func (m *ConnectionOpen) walk(f fields) {
	f.shortstr(&m.VirtualHost)
	f.shortstr(nil)
	f.bits(nil)
}

// ConnectionOpenOk ends the handshake.
type ConnectionOpenOk struct{}

func (*ConnectionOpenOk) walk(f fields) {
	f.shortstr(nil)
}

// ConnectionClose ends the connection, naming the method at fault or 0, 0.
type ConnectionClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

func (m *ConnectionClose) walk(f fields) {
	f.short(&m.ReplyCode)
	f.shortstr(&m.ReplyText)
	f.short(&m.ClassID)
	f.short(&m.MethodID)
}

// ConnectionCloseOk answers ConnectionClose and is the last method of a connection.
type ConnectionCloseOk struct{}

// ConnectionBlocked tells a publisher that the broker reads no more of it for now.
type ConnectionBlocked struct {
	Reason string
}

func (m *ConnectionBlocked) walk(f fields) {
	f.shortstr(&m.Reason)
}

// ConnectionUnblocked takes ConnectionBlocked back.
type ConnectionUnblocked struct{}

// ConnectionUpdateSecret renews the credentials of an open connection.
type ConnectionUpdateSecret struct {
	NewSecret, Reason string
}

func (m *ConnectionUpdateSecret) walk(f fields) {
	f.longstr(&m.NewSecret)
	f.shortstr(&m.Reason)
}

// ConnectionUpdateSecretOk answers ConnectionUpdateSecret.
type ConnectionUpdateSecretOk struct{}

func (*ConnectionCloseOk) walk(fields)        {}
func (*ConnectionUnblocked) walk(fields)      {}
func (*ConnectionUpdateSecretOk) walk(fields) {}
