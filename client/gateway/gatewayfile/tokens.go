package gatewayfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/setting"
)

// LoadTokens reads a file of bearer tokens, for [gateway.BearerTokens]: on each line
// a subject, blanks, and the SHA-256 of the subject's token in hex. Empty lines, and
// those that begin with #, say nothing. A subject may have several tokens. One with
// characters that cannot be seen is refused: it would look like another. The error is
// an [*Error] if the file could be read; it does not repeat what the file has.
func LoadTokens(path string) (map[[sha256.Size]byte]string, error) {
	data, err := configfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("gatewayfile: %w", err)
	}
	d := configfile.Decoder{File: path}
	if len(data) > MaxSize {
		d.Add(configfile.Position{}, setting.LevelError, "", "is over %d bytes long", MaxSize)
	}
	subjects := map[[sha256.Size]byte]string{}
	for i, line := range bytes.Split(bytes.TrimPrefix(data, byteOrderMark), []byte("\n")) {
		at := configfile.Position{Line: i + 1, Column: 1}
		text := strings.Trim(string(line), " \t\r")
		if text == "" || text[0] == '#' || len(d.Findings) > 0 {
			continue
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
		var sum [sha256.Size]byte
		switch {
		case strings.ContainsFunc(text, invisible):
			d.Add(at, setting.LevelError, "", "has a character that cannot be seen, or that is not UTF-8")
			continue
		case len(words) != 2 || len(words[1]) != hex.EncodedLen(len(sum)):
			d.Add(at, setting.LevelError, "", "must be a subject, a blank, and 64 digits of hex: the SHA-256 of its token")
			continue
		default:
			if _, err := hex.Decode(sum[:], []byte(words[1])); err != nil {
				d.Add(at, setting.LevelError, "", "the second word is not hex")
				continue
			}
		}
		if sum == sha256.Sum256(nil) {
			d.Add(at, setting.LevelError, "", "is the SHA-256 of nothing: the token was empty when it was made")
			continue
		}
		if other, there := subjects[sum]; there && other != words[0] {
			d.Add(at, setting.LevelError, "", "two subjects have the same token")
			continue
		}
		subjects[sum] = words[0]
	}
	if len(subjects) == 0 && len(d.Findings) == 0 {
		d.Add(configfile.Position{}, setting.LevelError, "", "has no tokens: nobody could call")
	}
	if err := configfile.Refusal(d.Findings); err != nil {
		return nil, err
	}
	return subjects, nil
}

// invisible reports whether a rune shows nothing, or changes how others show: controls,
// blanks but those of ASCII, marks of direction and of width, and what fonts ignore.
func invisible(r rune) bool {
	const brailleBlank = '\u2800'
	return r == utf8.RuneError || r == brailleBlank || !unicode.IsPrint(r) && r != '\t' ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
