// Command warren serves and calls methods over RabbitMQ, shows on one machine
// what happens to calls when servers are killed, and measures what a call
// costs.
//
// `warren --help` lists the commands and the exit codes.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
)

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole tool: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	obeySignals(cancel)
	out, errs := screenOf(stdout), screenOf(stderr)
	errs.hide = hider(args)
	err := rootCommand(stdin, out, errs).Run(ctx, helpOfDepth(args))
	return report(out, errs, asksForJSON(args), err)
}

// helpOfDepth asks a command below others for its help by its flag, since the
// library's command help looks at one level: "help dead replay" is "dead replay
// --help".
func helpOfDepth(args []string) []string {
	if len(args) < 4 || args[1] != "help" && args[1] != "h" {
		return args
	}
	// What has flags is left alone: after "--", or one that wants a value, --help is none.
	if slices.ContainsFunc(args[2:], func(arg string) bool { return strings.HasPrefix(arg, "-") }) {
		return args
	}
	return append(append([]string{args[0]}, args[2:]...), "--help")
}

// obeySignals ends the command at the first SIGINT or SIGTERM, and the process
// at the second.
func obeySignals(cancel context.CancelFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
}

const rootDescription = `Exit codes: 0 answered, 1 internal error, 2 wrong usage or configuration,
3 deadline exceeded, 4 no server or no such method, 5 error from the server,
6 no usable broker, 7 the verdict of a demonstration is "broken", or a store is damaged,
130 interrupted.

Results go to standard output, everything else to standard error. URLs of brokers and
stores are better kept in WARREN_URL and WARREN_STORE, or in the file of WARREN_CONFIG,
than in --url and --store, which others on the machine can read. warren config shows
which settings there are.

Examples:
   warren serve                       # samples, and without a broker one in memory
   warren call rpc_queue 30
   warren queues rpc_queue
   WARREN_URL=amqps://broker.example/ warren ping rpc_queue
   warren help call`

func rootCommand(stdin io.Reader, stdout, stderr io.Writer) *cli.Command {
	root := &cli.Command{
		Name:        "warren",
		Usage:       "remote procedure calls over RabbitMQ that are answered or fail honestly",
		Description: rootDescription,
		Version:     version(),
		Reader:      stdin,
		Writer:      stdout,
		ErrWriter:   stderr,
		Action:      noSuchCommand,
		// Errors are reported once, by run.
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {},
		OnUsageError:                    onUsageError,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: showCompletion,
		Commands: []*cli.Command{
			serveCommand(), callCommand(), pingCommand(), queuesCommand(), configCommand(), brokerCommand(), demoCommand(), benchCommand(),
			policyCommand(), resolveCommand(), storeCommand(), deadCommand(), gatewayCommand(),
			chaosCommand(), demoServerCommand(), benchWorkerCommand(), chaosServerCommand(), chaosClientCommand(),
		},
	}
	for _, cmd := range root.Commands {
		polish(cmd)
	}
	return root
}

// polish is for every command of the tool.
func polish(cmd *cli.Command) {
	cmd.OnUsageError = onUsageError
	// Otherwise `warren call help` would not call the method help.
	cmd.HideHelpCommand = true
	if len(cmd.Commands) == 0 {
		// The library looks for help on the method in `warren call METHOD --help`.
		cmd.CommandNotFound = func(_ context.Context, cmd *cli.Command, _ string) {
			cli.HelpPrinter(cmd.Root().Writer, cli.CommandHelpTemplate, cmd)
		}
	}
}

// commandGroup is a command that stands for several.
func commandGroup(name, usage, description string, commands ...*cli.Command) *cli.Command {
	names := make([]string, len(commands))
	for i, sub := range commands {
		names[i] = sub.Name
		polish(sub)
	}
	last := len(names) - 1
	missing := fmt.Sprintf("a command is missing: %s or %s", strings.Join(names[:last], ", "), names[last])
	return &cli.Command{
		Name: name, Usage: usage, Description: description, Commands: commands,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if sub := cmd.Args().First(); sub != "" {
				return usageError(cmd, "there is no command %.60q", sub)
			}
			return usageError(cmd, "%s", missing)
		},
	}
}

func noSuchCommand(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return usageError(cmd, "there is no command %.60q", name)
	}
	return usageError(cmd, "a command is missing: serve, call, resolve, ping, queues, config, broker, policy, store, dead, gateway, demo or bench")
}

func version() string {
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		return build.Main.Version
	}
	return "unknown"
}
