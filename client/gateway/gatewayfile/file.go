// Package gatewayfile reads the routes of a gateway from files in YAML, of which JSON
// is a part.
//
//	routes:
//	  GET /orders/{id}:
//	    method: orders.getOne
//	    timeout: 3s
//	    idempotent: true
//	  POST /orders:
//	    method: orders.create
//	    max_body: 64KiB
//
// Names are those of [gateway.Config] and [gateway.Route] with underscores. Durations
// have a unit; sizes have one, B, KiB or MiB, or are bytes. Anchors and aliases may be
// used, merge keys (<<) not. docs/schema/gateway.schema.json in Warren's repository is
// the JSON Schema, docs/examples/gateway.yaml a file to copy.
package gatewayfile

import (
	"fmt"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/setting"
)

// MaxSize is how many bytes a file may have.
const MaxSize = configfile.MaxSize

// File is what a file says.
type File struct {
	// Gateway is its configuration, without the loggers and what is in files of its own:
	// Authenticate and KeySecret.
	Gateway gateway.Config
	// Server is how its connections are bounded, without TLS and the logger.
	Server gateway.ServerConfig
	// Tokens is the path of the file of tokens, as the file says it; empty if there is
	// none. [LoadTokens] reads it.
	Tokens string
	// KeySecret is likewise the path of the file of Config.KeySecret, which
	// [LoadSecret] reads.
	KeySecret string
}

// Finding is something wrong with a file, and where: File, Line and Column (from
// 1), Level, the Path of the value, such as routes.GET /orders/{id}.timeout, and a
// Message. String tells it on one line.
type Finding = configfile.Finding

// Error tells why a file was refused, by Findings: at least one, and all of them
// errors. Its text is the first one, and how many more there are, on one line.
type Error = configfile.Error

// Load reads and checks a file. The error is an [*Error] if the file could be read.
func Load(path string) (File, error) {
	data, err := configfile.Read(path)
	if err != nil {
		return File{}, fmt.Errorf("gatewayfile: %w", err)
	}
	return Parse(path, data)
}

// Parse checks the content of a file of that name, which errors are told with. They
// are all of the type [*Error]; without one, [gateway.New] takes the configuration
// and [gateway.NewServer] that of the server.
func Parse(name string, data []byte) (File, error) {
	d := newDecoder(name, data)
	d.decode()
	if err := configfile.Refusal(d.Findings); err != nil {
		return File{}, err
	}
	for _, found := range append(gateway.Check(d.file.Gateway), gateway.CheckServer(d.file.Server)...) {
		path := found.Field
		if found.Route != "" {
			path = configfile.Join("routes", found.Route)
			if found.Field != "" {
				path += "." + found.Field
			}
		}
		d.Add(d.Places.Locate(found.Route, found.Field), setting.LevelError, path, "%s", found.Message)
	}
	if err := configfile.Refusal(d.Findings); err != nil {
		return File{}, err
	}
	return d.file, nil
}
