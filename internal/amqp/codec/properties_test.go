package codec

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPropertiesPresentAndAbsentSurviveTheWire(t *testing.T) {
	if got := reflect.TypeFor[Properties]().NumField(); got != 15 {
		t.Fatalf("Properties has %d fields; this test knows 15", got)
	}
	full := header()
	for bit := range 14 {
		for _, present := range []PropertyFlags{allProperties, 1 << (15 - bit), allProperties &^ (1 << (15 - bit)), 0} {
			full.Properties.Present = present
			payload := mustAppendHeader(t, full)
			got, err := DecodeHeader(payload)
			if err != nil {
				t.Fatal(err)
			}
			want := reflect.ValueOf(full.Properties)
			for i := range 14 { // the fields after Present are in the order of the flags
				have := reflect.ValueOf(got.Properties).Field(i + 1)
				if flag := PropertyFlags(1 << (15 - i)); present.Has(flag) != reflect.DeepEqual(have.Interface(), want.Field(i+1).Interface()) {
					t.Errorf("%016b: %s is %v", present, want.Type().Field(i+1).Name, have)
				} else if !present.Has(flag) && !have.IsZero() {
					t.Errorf("%016b: %s is set", present, want.Type().Field(i+1).Name)
				}
			}
			if got.ClassID != full.ClassID || got.BodySize != full.BodySize || got.Properties.Present != present {
				t.Errorf("decoded %+v", got)
			}
			if again := mustAppendHeader(t, got); !bytes.Equal(again, payload) {
				t.Errorf("encoded again to %x, was %x", again, payload)
			}
		}
	}
}

func TestEmptyPropertiesStayPresent(t *testing.T) {
	h := Header{ClassID: 60, Properties: Properties{Present: allProperties, Timestamp: time.Unix(0, 0).UTC()}}
	payload := mustAppendHeader(t, h)
	got, err := DecodeHeader(payload)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("decoded %+v, %v", got, err)
	}
	if want := 14 + 10 + 4 + 2 + 8; len(payload) != want {
		t.Errorf("header has %d octets, want %d", len(payload), want)
	}
}

func TestBadHeadersAreSyntaxErrors(t *testing.T) {
	good := mustAppendHeader(t, header())
	bad := append(prefixes(good[:len(good)-1]), append(bytes.Clone(good), 0))
	for at, octet := range map[int]byte{2: 1, 3: 1, 13: 0xFD, 12: 0} { // weight, then flags
		changed := bytes.Clone(good)
		changed[at] = octet
		bad = append(bad, changed)
	}
	lastFlag := bytes.Clone(good)
	lastFlag[13] |= 2
	bad = append(bad, lastFlag)
	for _, payload := range bad {
		h, err := DecodeHeader(payload)
		var amqpError *Error
		if !errors.As(err, &amqpError) || amqpError.Code != SyntaxError || !reflect.DeepEqual(h, Header{}) {
			t.Errorf("%d octets: %+v, %v", len(payload), h, err)
		}
	}
}

func TestHeadersWithoutAFormOnTheWireAreNotEncoded(t *testing.T) {
	for name, p := range map[string]Properties{
		"unknown flag":     {Present: 2},
		"continuation":     {Present: 1 | HasType},
		"long type":        {Present: HasType, Type: strings.Repeat("x", 256)},
		"unknown in table": {Present: HasHeaders, Headers: Table{{"k", 1}}},
	} {
		got, err := AppendHeader([]byte("before"), Header{ClassID: 60, Properties: p})
		if err == nil || string(got) != "before" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
