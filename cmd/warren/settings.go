package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/urfave/cli/v3"
)

// toolSetting is what may be said by a flag, else by a variable of the environment,
// else by the tool's file, in this order.
type toolSetting struct {
	flag, env string
	key       string // in the file; that of a key below another has a dot
}

var settings = []toolSetting{
	{"url", "WARREN_URL", "url"},
	{"store", "WARREN_STORE", "store"},
	{"user-id", "WARREN_USER_ID", "user_id"},
	{"timeout", "WARREN_TIMEOUT", "timeout"},
	{"management", "WARREN_MANAGEMENT_URL", "management"},
	{"broker-auth", "WARREN_BROKER_AUTH", "auth"},
	{"broker-ca", "WARREN_BROKER_CA", "tls.ca"},
	{"broker-cert", "WARREN_BROKER_CERT", "tls.cert"},
	{"broker-key", "WARREN_BROKER_KEY", "tls.key"},
	{"broker-server-name", "WARREN_BROKER_SERVER_NAME", "tls.server_name"},
}

// source is where a flag's value can come from that the command line does not
// give.
type source interface {
	cli.ValueSource
	// used reports whether it gave the value.
	used() bool
}

// withSources has those of the flags that are settings take their values from the
// environment and the file too.
func withSources(file *configFile, flags []cli.Flag) []cli.Flag {
	for _, flag := range flags {
		i := slices.IndexFunc(settings, func(s toolSetting) bool { return s.flag == flag.Names()[0] })
		if i < 0 {
			continue
		}
		*sourcesOf(flag) = cli.NewValueSourceChain(
			&envSource{name: settings[i].env}, &fileSource{file: file, key: settings[i].key})
	}
	return flags
}

// sourcesOf returns the sources of a flag, nil if it is of a type that no setting
// has.
func sourcesOf(flag cli.Flag) *cli.ValueSourceChain {
	switch flag := flag.(type) {
	case *cli.StringFlag:
		return &flag.Sources
	case *cli.StringSliceFlag:
		return &flag.Sources
	case *cli.DurationFlag:
		return &flag.Sources
	default:
		return nil
	}
}

// origin says where a flag's value is from, for people.
func origin(cmd *cli.Command, name string) string {
	for _, s := range flagSources(cmd, name) {
		if s.used() {
			return s.String()
		}
	}
	if cmd.IsSet(name) {
		return "--" + name
	}
	return "default"
}

// flagSources returns the sources of a command's flag; none if the command has no
// such flag.
func flagSources(cmd *cli.Command, name string) []source {
	var list []source
	for _, flag := range cmd.Flags {
		chain := sourcesOf(flag)
		if chain == nil || flag.Names()[0] != name {
			continue
		}
		for _, s := range chain.Chain {
			if s, ok := s.(source); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// settingsFile returns the file from which a command's flags take values.
func settingsFile(cmd *cli.Command) *configFile {
	for _, setting := range settings {
		for _, s := range flagSources(cmd, setting.flag) {
			if s, ok := s.(*fileSource); ok {
				return s.file
			}
		}
	}
	return &configFile{}
}

// checkSettingsFile tells that the file is wrong.
func checkSettingsFile(cmd *cli.Command) error {
	if err := settingsFile(cmd).err; err != nil {
		return exit(exitUsage, "%s", screenOf(cmd.Root().ErrWriter).redact(err.Error()))
	}
	return nil
}

// envSource is a variable of the environment; an empty one says nothing.
type envSource struct {
	name string
	gave bool
}

func (s *envSource) Lookup() (string, bool) {
	value := os.Getenv(s.name)
	s.gave = value != ""
	return value, s.gave
}

func (s *envSource) used() bool       { return s.gave }
func (s *envSource) IsFromEnv() bool  { return true } // for the help
func (s *envSource) Key() string      { return s.name }
func (s *envSource) String() string   { return "$" + s.name }
func (s *envSource) GoString() string { return s.String() }

// fileSource is one key of the tool's file.
type fileSource struct {
	file *configFile
	key  string
	gave bool
}

// Lookup finds nothing in a file that is refused; [checkSettingsFile] tells that.
func (s *fileSource) Lookup() (string, bool) {
	s.file.load()
	value, ok := s.file.values[s.key]
	s.gave = ok
	return value.text, ok
}

func (s *fileSource) used() bool       { return s.gave }
func (s *fileSource) GoString() string { return s.String() }

func (s *fileSource) String() string {
	return fmt.Sprintf("%s:%d", s.file.path, s.file.values[s.key].line)
}
