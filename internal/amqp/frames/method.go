package frames

import "encoding/binary"

// The methods that are looked at, with the number of the class before that of the method.
const (
	connectionTuneOk  = 10<<16 | 31
	connectionClose   = 10<<16 | 50
	connectionCloseOk = 10<<16 | 51
	channelOpen       = 20<<16 | 10
	channelClose      = 20<<16 | 40
	channelCloseOk    = 20<<16 | 41
	basicCancel       = 60<<16 | 30
	basicPublish      = 60<<16 | 40
	basicReturn       = 60<<16 | 50
	basicDeliver      = 60<<16 | 60
	basicAck          = 60<<16 | 80
	basicNack         = 60<<16 | 120
)

// idSize is the size of the numbers of class and method, with which a method begins.
const idSize = 4

// arguments are those of a method that are still to be read. After the first that is missing all are zero.
type arguments struct {
	rest  []byte
	short bool
}

func (a *arguments) take(n int) []byte {
	if n > len(a.rest) {
		a.rest, a.short = nil, true
		return nil
	}
	taken := a.rest[:n]
	a.rest = a.rest[n:]
	return taken
}

func (a *arguments) octet() byte {
	if b := a.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (a *arguments) short16() uint16 {
	if b := a.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (a *arguments) long64() uint64 {
	if b := a.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (a *arguments) shortstr() []byte { return a.take(int(a.octet())) }

// complete reports whether all arguments were there, and nothing else.
func (a *arguments) complete() bool { return !a.short && len(a.rest) == 0 }
