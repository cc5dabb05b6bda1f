package amqptest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseRule reads a rule from a line of the form that Rule.String gives. The rule is valid, see Rule.Validate.
func ParseRule(line string) (Rule, error) {
	p := &parser{rest: line}
	r, err := p.rule()
	if err == nil {
		_, err = r.compile()
	}
	if err != nil {
		return Rule{}, fmt.Errorf("amqptest: rule %q: %w", line, err)
	}
	return r, nil
}

// ParseRules reads rules from a text with one on each line, as a schedule is kept in a file. Empty lines, and those that
// begin with #, are skipped. The error names the line.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := ParseRule(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// token is a word, or one of the characters = : , or, at the end, nothing.
type token struct {
	text string
	word bool
}

func (t token) is(mark string) bool { return !t.word && t.text == mark }

func (t token) String() string {
	if t.text == "" && !t.word {
		return "the end"
	}
	return strconv.Quote(t.text)
}

type parser struct {
	rest string
}

// next takes a token.
func (p *parser) next() (token, error) {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" {
		return token{}, nil
	}
	switch c := p.rest[0]; {
	case c == '=' || c == ':' || c == ',':
		p.rest = p.rest[1:]
		return token{text: string(c)}, nil
	case c == '"':
		quoted, err := strconv.QuotedPrefix(p.rest)
		if err != nil {
			return token{}, fmt.Errorf("a quote is not closed: %s", p.rest)
		}
		p.rest = p.rest[len(quoted):]
		text, err := strconv.Unquote(quoted)
		return token{text: text, word: true}, err
	case plainByte(c):
		n := 0
		for n < len(p.rest) && plainByte(p.rest[n]) {
			n++
		}
		text := p.rest[:n]
		p.rest = p.rest[n:]
		return token{text: text, word: true}, nil
	default:
		return token{}, fmt.Errorf("%q must be quoted", c)
	}
}

// peek returns the token that next will take.
func (p *parser) peek() (token, error) {
	ahead := *p
	return ahead.next()
}

// wordIfAny takes a word, if the next token is one.
func (p *parser) wordIfAny() (string, bool, error) {
	t, err := p.peek()
	if err != nil || !t.word {
		return "", false, err
	}
	_, err = p.next()
	return t.text, true, err
}

func (p *parser) rule() (Rule, error) {
	var r Rule
	for {
		t, err := p.next()
		switch {
		case err != nil:
			return r, err
		case t.is(":"):
			return r, p.actions(&r)
		case !t.word:
			return r, fmt.Errorf("%v instead of a colon and an action", t)
		}
		if err := p.condition(&r, t.text); err != nil {
			return r, err
		}
	}
}

// condition reads what the word begins.
func (p *parser) condition(r *Rule, word string) error {
	t, err := p.peek()
	if err != nil {
		return err
	}
	if t.is("=") {
		if _, err = p.next(); err != nil {
			return err
		}
		value, err := p.next()
		if err != nil {
			return err
		}
		if !value.word || value.text == "" {
			return fmt.Errorf("%v instead of a value for %s", value, word)
		}
		return r.set(word, value.text)
	}
	switch {
	case word == "any":
	case word == FromClient.String(), word == FromBroker.String():
		if r.When.Direction != 0 {
			return errors.New("it has two directions")
		}
		r.When.Direction = FromClient
		if word == FromBroker.String() {
			r.When.Direction = FromBroker
		}
	case r.When.Method != "":
		return fmt.Errorf("it has two methods, %q and %q", r.When.Method, word)
	default:
		r.When.Method = word
	}
	return nil
}

// set takes a condition of the form key=value.
func (r *Rule) set(key, value string) (err error) {
	for _, k := range whenKeys {
		if k.name == key {
			if k.get(&r.When) != "" {
				return fmt.Errorf("%s stands there twice", key)
			}
			if err := k.set(&r.When, value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		}
	}
	var number *int
	switch key {
	case "name":
		r.Name = value
		return nil
	case "nth":
		number = &r.Nth
	case "every":
		number = &r.Every
	case "times":
		number = &r.Times
		if value == "always" {
			*number = Always
			return nil
		}
	case "message", "event":
		return fmt.Errorf("%s is a function, which no text can hold", key)
	default:
		return fmt.Errorf("there is no condition %q", key)
	}
	if *number, err = parseNumber(value, maxNumber); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// actions reads what stands after the colon.
func (p *parser) actions(r *Rule) error {
	for first := true; ; first = false {
		a, err := p.action()
		if err != nil {
			return err
		}
		if first {
			r.Do = a
		} else {
			r.Then = append(r.Then, a)
		}
		t, err := p.next()
		switch {
		case err != nil:
			return err
		case t == token{}:
			return nil
		case !t.is(","):
			return fmt.Errorf("%v instead of a comma after %v", t, a)
		}
	}
}

func (p *parser) action() (Action, error) {
	name, err := p.next()
	if err != nil {
		return Action{}, err
	}
	a := Action{}
	if name.word {
		a.kind = kindNamed(name.text)
	}
	if a.kind == actionNone {
		return a, fmt.Errorf("%v is not an action", name)
	}
	if err = p.arguments(&a); err != nil {
		return a, fmt.Errorf("%s: %w", name.text, err)
	}
	return a, nil
}

func (p *parser) arguments(a *Action) error {
	word, ok := "", false
	var err error
	form := a.kind.info().arguments
	if form != argumentNone {
		if word, ok, err = p.wordIfAny(); err != nil {
			return err
		}
	}
	switch form {
	case argumentNone:
	case argumentMayBeName:
		a.text = word
	case argumentMayBeDuration:
		if ok {
			a.wait, err = time.ParseDuration(word)
		}
	case argumentDuration:
		a.wait, err = time.ParseDuration(word)
	case argumentCount:
		a.count, err = parseNumber(word, maxCopies)
	case argumentReply:
		var code int
		if code, err = parseNumber(word, 1<<16-1); err != nil {
			return err
		}
		a.code = uint16(code)
		a.text, _, err = p.wordIfAny()
	case argumentRestart:
		if a.keep, ok = keepNamed(word); !ok {
			return fmt.Errorf("%q is not one of keep-messages, lose-messages, lose-all", word)
		}
		if word, ok, err = p.wordIfAny(); ok && err == nil {
			a.wait, err = time.ParseDuration(word)
		}
	case argumentFunction:
		return errors.New("a function cannot be written in a text")
	}
	return err
}
