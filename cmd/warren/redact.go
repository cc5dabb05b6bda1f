package main

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var urls = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s"]*`)

// redact hides what follows the scheme of anything that looks like a URL.
func redact(text string) string { return urls.ReplaceAllString(text, "$1***") }

// redact does so after what must not be shown is hidden: a password with a quote or a
// blank in it, of which a part is gone, is not known again.
func (s *screen) redact(text string) string { return redact(s.hide(text)) }

// users is a user with a password before a host, after a scheme or not.
var users = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)?([^\s"'@:/=(]*:[^/\s"'][^\s"']*)@`)

// passwords are settings of a store, in the query of a URL or as a list.
var passwords = regexp.MustCompile(`((?:^|[?&\s"'])[A-Za-z_]*(?i:password)=)([^&\s"']+)`)

// withoutPassword hides the passwords of a URL, in whatever state it is.
func withoutPassword(raw string) string {
	scheme, rest, isURL := strings.Cut(raw, "://")
	if !isURL {
		return raw
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest, '@')
	if at > end { // of a password that was not encoded, perhaps
		return scheme + "://***"
	}
	user := rest[:max(at, 0)]
	if name, _, has := strings.Cut(user, ":"); has {
		user = name + ":***"
	}
	return scheme + "://" + user + passwords.ReplaceAllString(rest[max(at, 0):], "$1***")
}

// noSecrets are RabbitMQ's default, and what stands in examples.
var noSecrets = []string{"guest:guest", "user:password"}

// hider returns what hides passwords in whatever is said on standard error: a
// mistyped command line, or an error of a library, may have one in any place. Hidden
// is what looks like a user and a password before an @, and what does so as an
// argument of the command line or in the environment, wherever it is repeated, cut
// off or quoted; and passwords in the queries of URLs.
func hider(args []string) func(string) string {
	var secrets []string
	for _, arg := range args {
		secrets = append(secrets, secretsOf(arg)...)
		if _, value, ok := strings.Cut(arg, "="); ok {
			secrets = append(secrets, secretsOf(value)...)
		}
	}
	for _, s := range settings {
		secrets = append(secrets, secretsOf(os.Getenv(s.env))...)
	}
	return func(text string) string {
		for _, secret := range secrets {
			text = hideSecret(text, secret)
		}
		text = passwords.ReplaceAllString(text, "$1***")
		return users.ReplaceAllStringFunc(text, func(found string) string {
			parts := users.FindStringSubmatch(found)
			if slices.Contains(noSecrets, parts[2]) {
				return found
			}
			return parts[1] + "***@"
		})
	}
}

// secretsOf returns the parts user:password of an argument, which may be a list, and
// passwords in a query, as those of no user; as they stand, and decoded.
func secretsOf(arg string) []string {
	var list []string
	for _, found := range passwords.FindAllStringSubmatch(arg, -1) {
		list = append(list, ":"+found[2])
	}
	for _, part := range append(strings.Split(arg, ","), arg) {
		at := strings.LastIndexByte(part, '@')
		if at < 0 {
			continue
		}
		part = part[:at]
		if scheme := strings.Index(part, "://"); scheme >= 0 {
			part = part[scheme+3:]
		}
		part = strings.TrimLeft(part, "-")
		if colon := strings.IndexByte(part, ':'); colon >= 0 && colon+1 < len(part) && !slices.Contains(noSecrets, part) {
			list = append(list, part)
		}
	}
	for _, secret := range list {
		if decoded, err := url.PathUnescape(secret); err == nil && decoded != secret {
			list = append(list, decoded)
		}
	}
	return list
}

// leastPassword is how many bytes of a password are hidden where they stand alone:
// fewer may be a part of any word.
const leastPassword = 6

// hideSecret hides user:password in a text, and the password where it stands alone,
// whole, quoted, or cut off.
func hideSecret(text, secret string) string {
	password := strings.IndexByte(secret, ':') + 1
	// All that is looked for begins with one of these two.
	short, alone := secret[:password+1], secret[password:]
	if hidePart(text, short) == text && hidePart(text, alone[:min(len(alone), leastPassword)]) == text {
		return text
	}
	for end := len(secret); end > password; end-- {
		// Without a user, a colon and a letter may be anything.
		if password > 1 || end == len(secret) || end >= password+leastPassword {
			text = hidePart(text, secret[:end])
		}
		if end >= password+leastPassword {
			text = hidePart(text, secret[password:end])
		}
	}
	return text
}

func hidePart(text, part string) string {
	quoted := strconv.Quote(part)
	return strings.ReplaceAll(strings.ReplaceAll(text, part, "***"), quoted[1:len(quoted)-1], "***")
}
