package codec

// ChannelOpen opens the channel that its frame names.
type ChannelOpen struct{}

func (*ChannelOpen) walk(f fields) {
	f.shortstr(nil)
}

// ChannelOpenOk answers ChannelOpen.
type ChannelOpenOk struct{}

func (*ChannelOpenOk) walk(f fields) {
	f.longstr(nil)
}

// ChannelFlow stops, or lets go on, the flow of the peer's content.
type ChannelFlow struct {
	Active bool
}

func (m *ChannelFlow) walk(f fields) {
	f.bits(&m.Active)
}

// ChannelFlowOk answers ChannelFlow.
type ChannelFlowOk struct {
	Active bool
}

func (m *ChannelFlowOk) walk(f fields) {
	f.bits(&m.Active)
}

// ChannelClose ends a channel, naming the method at fault or 0, 0.
type ChannelClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

func (m *ChannelClose) walk(f fields) {
	f.short(&m.ReplyCode)
	f.shortstr(&m.ReplyText)
	f.short(&m.ClassID)
	f.short(&m.MethodID)
}

// ChannelCloseOk answers ChannelClose.
type ChannelCloseOk struct{}

func (*ChannelCloseOk) walk(fields) {}
