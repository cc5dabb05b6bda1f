package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

const configDescription = `Prints how commands reach the broker, and where each setting is from: a flag, a
variable of the environment, the tool's file, or the default, in this order.
Passwords are hidden. It connects to nothing.

The file is the one of --config or WARREN_CONFIG, else config.yaml in the folder
warren of $XDG_CONFIG_HOME (~/.config); there need not be one. It is YAML, and may
have these keys, all of them texts:
   url          of the broker; of a cluster a list of them
   store        serve, store: the path of a file, or a URL of PostgreSQL or Redis; may
                have a password
   user_id      call, resolve, gateway: the user of the URL, which the broker then
                vouches for
   timeout      call, ping, resolve, dead, queues: 1ms to 24h
   management   queues: the URL of RabbitMQ's management API
   auth         plain, or external: the TLS certificate says who we are
   tls          for amqps and https: ca, cert, key (files in PEM; relative paths begin
                at the folder of config.yaml) and server_name
A key that is not known, or a value that cannot be, is an error with file and line,
and ends every command that would connect with exit code 2.

warren gateway takes its routes by --config; the file of this page is then the one
of WARREN_CONFIG, or the default. demo and bench take nothing but url.

Examples:
   warren config
   warren config --config staging.yaml --url amqp://localhost/
   warren config --json | jq -r '.settings[] | select(.name == "url").from'`

func configCommand() *cli.Command {
	return &cli.Command{
		Name:        "config",
		Usage:       "show how commands reach the broker, and where that is said",
		Description: configDescription,
		Flags:       connectionFlags(defaultURL, aboutStoreFlag(), userIDFlag(), timeoutFlag(), managementFlag()),
		Action:      showConfig,
	}
}

// configResult is what `warren config --json` prints.
type configResult struct {
	File     string          `json:"file"` // empty if there is no place for one
	Found    bool            `json:"found"`
	Settings []configSetting `json:"settings"`
}

type configSetting struct {
	Name  string `json:"name"` // the key of the file
	Value string `json:"value"`
	From  string `json:"from"` // --flag, $VARIABLE, FILE:LINE or default
}

func showConfig(_ context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	if _, err := arguments(cmd, 0, 0); err != nil {
		return err
	}
	if _, err := brokerSettings(cmd); err != nil {
		return err
	}
	if err := within(cmd, "timeout", cmd.Duration("timeout"), time.Millisecond, longestTimeout); err != nil {
		return err
	}
	if _, err := managementURL(cmd); err != nil {
		return err
	}
	if _, err := namedStore(cmd); err != nil {
		return err
	}
	file := settingsFile(cmd)
	file.load() // if every flag was given, nobody has
	if file.tells() {
		out.note("%s has a password, and others may read it: chmod 600 keeps it to its owner", file.path)
	}
	r := configResult{File: file.path, Found: file.found}
	for _, s := range settings {
		r.Settings = append(r.Settings, configSetting{Name: s.key, Value: shownValue(cmd, s.flag), From: origin(cmd, s.flag)})
	}
	if out.json {
		return out.object(r)
	}
	return out.text(r.table())
}

// shownValue is the value of a flag without passwords.
func shownValue(cmd *cli.Command, name string) string {
	switch name {
	case "url":
		list := cmd.StringSlice(name)
		if len(list) == 0 {
			list = []string{defaultURL}
		}
		var shown []string
		for raw := range strings.SplitSeq(strings.Join(list, ","), ",") {
			shown = append(shown, withoutPassword(strings.TrimSpace(raw)))
		}
		return strings.Join(shown, ",")
	case "timeout":
		return cmd.Duration(name).String()
	default:
		return withoutPassword(cmd.String(name))
	}
}

func (r *configResult) table() string {
	var b strings.Builder
	switch {
	case r.Found:
		fmt.Fprintf(&b, "file %s\n\n", r.File)
	case r.File != "":
		fmt.Fprintf(&b, "file %s (there is none)\n\n", r.File)
	}
	rows := newSheet("SETTING", "VALUE", "FROM")
	for _, s := range r.Settings {
		rows.row(s.Name, cmp.Or(s.Value, "-"), s.From)
	}
	return b.String() + rows.String()
}
