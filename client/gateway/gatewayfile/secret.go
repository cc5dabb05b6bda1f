package gatewayfile

import (
	"bytes"
	"fmt"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/setting"
)

// LoadSecret reads a file for gateway.Config.KeySecret: a line of 16 to 1024 bytes,
// without blanks around it. The error is an [*Error] if the file could be read; it does
// not repeat what the file has.
func LoadSecret(path string) ([]byte, error) {
	data, err := configfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("gatewayfile: %w", err)
	}
	d := configfile.Decoder{File: path}
	secret := bytes.TrimSpace(bytes.TrimPrefix(data, byteOrderMark))
	switch {
	case bytes.ContainsAny(secret, "\r\n"):
		d.Add(configfile.Position{}, setting.LevelError, "", "must be one line")
	case len(secret) < 16 || len(secret) > 1024:
		d.Add(configfile.Position{}, setting.LevelError, "", "has %d bytes; a secret must have 16 to 1024", len(secret))
	}
	if err := configfile.Refusal(d.Findings); err != nil {
		return nil, err
	}
	return secret, nil
}

// byteOrderMark stands before the text in files of some editors.
var byteOrderMark = []byte("\ufeff")
