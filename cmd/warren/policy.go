package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

const policyDescription = `A policy file says, by patterns of methods' names, what clients do about their calls:
deadlines, retries, budgets, breakers, hedging. docs/examples/policy.yaml is one.
The file - is standard input.

Examples:
   warren policy check policy.yaml
   render-policies | warren policy check -
   warren policy explain policy.yaml orders.getAll
   warren policy simulate policy.yaml orders.getAll`

func policyCommand() *cli.Command {
	cmd := &cli.Command{
		Name:         "policy",
		Usage:        "check, explain and simulate retry policies",
		Description:  policyDescription,
		Action:       noSuchPolicyCommand,
		OnUsageError: onUsageError,
		Commands:     []*cli.Command{policyCheckCommand(), policyExplainCommand(), policySimulateCommand()},
	}
	for _, sub := range cmd.Commands {
		sub.OnUsageError = onUsageError
		sub.HideHelpCommand = true
	}
	return cmd
}

func noSuchPolicyCommand(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return usageError(cmd, "there is no command %.60q", name)
	}
	return usageError(cmd, "a command is missing: check, explain or simulate")
}

const policyCheckDescription = `Prints what is wrong with FILE, one finding on a line as FILE:LINE:COLUMN: LEVEL: …,
and nothing if all is well. The exit code is 2 if there is an error: a client
would refuse the file.

Examples:
   warren policy check policy.yaml
   warren policy check --strict policy.yaml
   warren policy check --json policy.yaml | jq .findings`

func policyCheckCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "say what is wrong with a file, and where",
		ArgsUsage:   "FILE",
		Description: policyCheckDescription,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "strict", Usage: "take warnings for errors"},
		}, outputFlags()...),
		Action: policyCheck,
	}
}

// policyCheckResult is what `warren policy check --json` prints.
type policyCheckResult struct {
	OK       bool                 `json:"ok"`
	Errors   int                  `json:"errors"`
	Warnings int                  `json:"warnings"`
	Findings []policyfile.Finding `json:"findings"`
}

func policyCheck(_ context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	file, err := readPolicies(cmd, args[0])
	if file == nil {
		return exit(exitUsage, "%w", unprefixed(err))
	}
	r := policyCheckResult{Findings: []policyfile.Finding{}}
	for _, f := range file.Findings {
		if cmd.Bool("strict") {
			f.Level = reliability.LevelError
		}
		if f.Level == reliability.LevelError {
			r.Errors++
		} else {
			r.Warnings++
		}
		r.Findings = append(r.Findings, f)
	}
	r.OK = r.Errors == 0
	if out.json {
		err = out.object(r)
	} else {
		err = printFindings(out, r.Findings)
	}
	if err == nil && !r.OK {
		err = &exitError{code: exitUsage}
	}
	return err
}

func printFindings(out *output, findings []policyfile.Finding) error {
	for _, f := range findings {
		if err := out.printf("%s\n", f.Diagnostic()); err != nil {
			return err
		}
	}
	return nil
}

// stdinName is what standard input is called in messages.
const stdinName = "standard input"

// readPolicies reads a file, or standard input if it is called "-".
func readPolicies(cmd *cli.Command, path string) (*policyfile.File, error) {
	if path == "-" {
		return policyfile.Read(stdinName, cmd.Root().Reader)
	}
	return policyfile.Load(path)
}

// loadPolicies returns the policies of a file that has no errors.
func loadPolicies(cmd *cli.Command, path string) (*policyfile.File, *policy.Table, error) {
	file, err := readPolicies(cmd, path)
	if err != nil {
		return nil, nil, exit(exitUsage, "%w", unprefixed(err))
	}
	table, err := policy.NewTable(file.Rules.Methods)
	if err != nil {
		return nil, nil, exit(exitUsage, "%w", err)
	}
	return file, table, nil
}

// unprefixed takes the package's name from errors about files: the tool's own
// stands there.
func unprefixed(err error) error {
	var refused *policyfile.Error
	if inner := errors.Unwrap(err); inner != nil && !errors.As(err, &refused) {
		return inner
	}
	return err
}
