package setting

import (
	"reflect"
	"strings"
	"sync"
)

// Get returns what a struct, or a pointer to one, has for a field, and false if that
// is a nil pointer or a nil slice: then nothing is said.
//
// A field belongs to the struct's field of the same name, but for underscores and
// case; one with a dot to a struct within it. A [Switch] belongs to the field On of
// its part, or, the other way round, to the field Off.
func (f *Field) Get(from any) (value any, said bool) {
	v, inverted := f.locate(reflect.Indirect(reflect.ValueOf(from)))
	switch v.Kind() { //nolint:exhaustive // all others are values
	case reflect.Pointer:
		if v.IsNil() {
			return nil, false
		}
		v = v.Elem()
	case reflect.Slice:
		if v.IsNil() {
			return nil, false
		}
	}
	if inverted {
		return !v.Bool(), true
	}
	return v.Interface(), true
}

// Set gives a struct the value of a field, of the type that its kind has.
func (f *Field) Set(to, value any) {
	v, inverted := f.locate(reflect.ValueOf(to).Elem())
	if inverted {
		value = !value.(bool) //nolint:errcheck // a switch has no other
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	v.Set(reflect.ValueOf(value))
}

// place is where a field belongs in a type.
type place struct {
	index    []int
	inverted bool
}

type placeKey struct {
	of   reflect.Type
	name string
}

var places sync.Map // of place, by placeKey

// locate panics if the struct has no such field: the table of fields is wrong.
func (f *Field) locate(v reflect.Value) (field reflect.Value, inverted bool) {
	key := placeKey{v.Type(), f.Name}
	known, ok := places.Load(key)
	if !ok {
		known, _ = places.LoadOrStore(key, f.place(v.Type()))
	}
	p := known.(place) //nolint:errcheck // there is nothing else in it
	return v.FieldByIndex(p.index), p.inverted
}

func (f *Field) place(t reflect.Type) (p place) {
	enter := func(name string) bool {
		name = strings.ReplaceAll(name, "_", "")
		field, ok := t.FieldByNameFunc(func(own string) bool { return strings.EqualFold(own, name) })
		if ok {
			p.index, t = append(p.index, field.Index...), field.Type
		}
		return ok
	}
	for name := range strings.SplitSeq(f.Name, ".") {
		if !enter(name) {
			panic("setting: " + t.String() + " has no field for " + f.Name)
		}
	}
	if f.Kind == Switch && !enter("on") {
		p.inverted = enter("off")
	}
	return p
}
