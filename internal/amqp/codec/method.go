package codec

import (
	"fmt"
	"time"
)

// Method is the payload of a method frame: a pointer to one of this package's structs.
type Method interface {
	// ID returns the numbers of the method and its class on the wire.
	ID() (class, method uint16)
	// Name returns class and method as the specification writes them: "basic.publish".
	Name() string
	// walk visits the arguments in the order of the wire. Decoding and encoding both go by it.
	walk(f fields)
}

// fields is what a list of arguments is visited with: a decoder sets what the pointers name, an encoder writes it. A
// nil pointer is a reserved field, skipped by the one and written as zero by the other.
type fields interface {
	octet(*uint8)
	short(*uint16)
	long(*uint32)
	longlong(*uint64)
	shortstr(*string)
	longstr(*string)
	// bits visits up to eight bits that share an octet.
	bits(...*bool)
	timestamp(*time.Time)
	table(*Table)
	// fail makes the walk fail, unless it has failed before.
	fail(format string, args ...any)
}

type methodID struct{ class, method uint16 }

// factories makes an empty method for every ID.
var factories = func() map[methodID]func() Method {
	m := make(map[methodID]func() Method, len(methods))
	for _, factory := range methods {
		class, method := factory().ID()
		m[methodID{class, method}] = factory
	}
	return m
}()

// MethodName returns the name of a method, such as "basic.publish", or "" if there is none with these numbers.
func MethodName(class, method uint16) string {
	if factory, ok := factories[methodID{class, method}]; ok {
		return factory().Name()
	}
	return ""
}

// HasContent reports whether a content header, and with it a body, follows m.
func HasContent(m Method) bool {
	switch m.(type) {
	case *BasicPublish, *BasicReturn, *BasicDeliver, *BasicGetOk:
		return true
	default:
		return false
	}
}

// DecodeMethod decodes the payload of a method frame, of which the result keeps nothing. Its error is always an
// [*Error]: [NotImplemented] for a class or method that is unknown, [SyntaxError] for arguments that are truncated,
// invalid, or followed by something. Both name the class and method as far as they could be read.
func DecodeMethod(payload []byte) (Method, error) {
	d := &decoder{in: payload}
	var id methodID
	d.short(&id.class)
	d.short(&id.method)
	if d.err != nil {
		d.err.ClassID = id.class
		return nil, d.err
	}
	factory, ok := factories[id]
	if !ok {
		return nil, &Error{
			Code: NotImplemented, Text: fmt.Sprintf("unknown method %d.%d", id.class, id.method),
			ClassID: id.class, MethodID: id.method,
		}
	}
	m := factory()
	m.walk(d)
	if err := d.end(); err != nil {
		err.Text = m.Name() + ": " + err.Text
		err.ClassID, err.MethodID = id.class, id.method
		return nil, err
	}
	return m, nil
}

// AppendMethod appends the payload of a method frame. It fails, and returns dst as it was, if an argument has no form
// on the wire: a short string above 255 octets, a table with a value of another type than [Table] lists, or one that is
// above [MaxDepth] or [MaxValues].
func AppendMethod(dst []byte, m Method) ([]byte, error) {
	e := &encoder{out: dst}
	class, method := m.ID()
	e.short(&class)
	e.short(&method)
	m.walk(e)
	if e.err != nil {
		return dst, fmt.Errorf("encode %s: %w", m.Name(), e.err)
	}
	return e.out, nil
}
