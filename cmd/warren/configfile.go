package main

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/setting"
)

// configVariable names the tool's file, if --config does not.
const configVariable = "WARREN_CONFIG"

// configFile is the tool's file: how commands reach the broker. It is read once,
// when the first flag asks for what it was not given.
type configFile struct {
	named string // by --config

	once   sync.Once
	path   string // empty if there is no place for one
	found  bool
	values map[string]configValue
	err    error // one line
}

// configValue is what a key says, as a flag would take it.
type configValue struct {
	text string
	line int
}

func (f *configFile) load() { f.once.Do(func() { f.err = f.read() }) }

// read leaves values alone if anything is wrong.
func (f *configFile) read() error {
	f.path = f.named
	if f.path == "" {
		f.path = os.Getenv(configVariable)
	}
	byName := f.path != ""
	if !byName {
		folder, _ := os.UserConfigDir()
		if folder == "" { // without a home there is no file
			return nil
		}
		f.path = filepath.Join(folder, "warren", "config.yaml")
	}
	data, err := configfile.Read(f.path)
	if !byName && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		return nil
	}
	if err != nil {
		return err
	}
	f.found = true
	values, err := parseConfig(f.path, data)
	if err != nil {
		return err
	}
	f.values = values
	return nil
}

// tells reports whether the file has a password that others on the machine may
// read. On Windows the mode does not say who may.
func (f *configFile) tells() bool {
	info, err := os.Stat(f.path)
	if !f.found || err != nil || info.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return false
	}
	for _, value := range f.values {
		for text := range strings.SplitSeq(value.text, ",") {
			if withoutPassword(text) != text {
				return true
			}
		}
	}
	return false
}

// parseConfig returns the values by their keys. The error is a *configfile.Error.
func parseConfig(path string, data []byte) (map[string]configValue, error) {
	values := map[string]configValue{}
	if saysNothing(data) {
		return values, nil
	}
	d := configfile.Decoder{File: path, Data: data, Must: "url", NoMerge: "write the settings out"}
	if root := d.Document(); root != nil {
		d.Section(configfile.Section{
			Fields: configFields(),
			Hints:  map[string]string{"routes": ": this is the file of a gateway's routes, which warren gateway --config takes"},
			Custom: func(f *setting.Field, at, node *yaml.Node) {
				if text := flagText(&d, f.Name, node); text != "" {
					values[f.Name] = configValue{text, at.Line}
				}
			},
		}, root, root)
	}
	return values, configfile.Refusal(d.Findings)
}

// configFields are the keys of the file. Their values are texts for flags.
func configFields() []setting.Field {
	var fields []setting.Field
	for _, s := range settings {
		fields = append(fields, setting.Field{Name: s.key, Kind: setting.Custom})
	}
	return append(fields, setting.Field{Name: "tls", Kind: setting.Part})
}

// saysNothing reports whether a file has nothing but comments.
func saysNothing(data []byte) bool {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			return false
		}
	}
	return lines.Err() == nil
}

// flagText returns what stands after a key; nothing if it says nothing, or was
// refused. What is refused is not repeated: URLs have passwords.
func flagText(d *configfile.Decoder, key string, node *yaml.Node) string {
	node = configfile.Resolve(node)
	if configfile.IsNull(node) {
		return ""
	}
	check := configChecks[key]
	texts := []*yaml.Node{node}
	if key == "url" && node.Kind == yaml.SequenceNode {
		texts = node.Content
	}
	var list []string
	for _, text := range texts {
		text = configfile.Resolve(text)
		if text.Kind != yaml.ScalarNode || text.Value == "" {
			d.Refuse(text, key, "is empty or no text; write %s", check.form)
			return ""
		}
		if wrong := check.wrong(text.Value); wrong != "" {
			d.Refuse(text, key, "%s", wrong)
			return ""
		}
		list = append(list, text.Value)
	}
	text := strings.Join(list, ",")
	if check.path && !filepath.IsAbs(text) && !strings.Contains(text, "://") {
		text = filepath.Join(filepath.Dir(d.File), text)
	}
	return text
}

// configCheck says what a value must be.
type configCheck struct {
	form  string
	wrong func(text string) string // empty if it is right
	path  bool                     // of a file, if it is no URL; it begins where this one lies
}

var configChecks = map[string]configCheck{
	"url":             {form: "a URL, or a list of URLs", wrong: wrongURL},
	"store":           {form: "the path of a file, or a URL", wrong: wrongStore, path: true},
	"user_id":         {form: "the name of a user", wrong: noDemand},
	"timeout":         {form: `a duration such as "2s"`, wrong: wrongTimeout},
	"management":      {form: "a URL", wrong: wrongManagement},
	"auth":            {form: "plain or external", wrong: wrongAuth},
	"tls.ca":          {form: "the path of a file", wrong: noDemand, path: true},
	"tls.cert":        {form: "the path of a file", wrong: noDemand, path: true},
	"tls.key":         {form: "the path of a file", wrong: noDemand, path: true},
	"tls.server_name": {form: "the name of a host", wrong: noDemand},
}

func noDemand(string) string { return "" }

func wrongURL(text string) string {
	if err := (warren.Broker{URLs: []string{text}}).Validate(); err != nil {
		return strings.TrimPrefix(err.Error(), "warren: Broker.URLs[0]: ")
	}
	return ""
}

func wrongTimeout(text string) string {
	if d, err := time.ParseDuration(text); err != nil || d < time.Millisecond || d > longestTimeout {
		return `must be a duration from 1ms to 24h, such as "2s"`
	}
	return ""
}

func wrongManagement(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is not a URL (a password with special characters must be percent-encoded)"
	case u.Scheme != "http" && u.Scheme != "https":
		return "the scheme must be http or https"
	case u.Hostname() == "":
		return "the host is missing"
	case u.RawQuery != "" || u.Fragment != "":
		return "must end with its path"
	}
	return ""
}

func wrongAuth(text string) string {
	if text != "plain" && text != "external" {
		return "must be plain or external"
	}
	return ""
}
