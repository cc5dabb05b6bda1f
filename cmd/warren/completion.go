package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
)

const completionDescription = `Prints a script that has the shell complete commands and flags on Tab. For bash it
needs nothing else.

Examples:
   source <(warren completion bash)                                        # in ~/.bashrc
   source <(warren completion zsh)                                         # in ~/.zshrc, after compinit
   warren completion fish > ~/.config/fish/completions/warren.fish
   warren completion pwsh > warren.ps1                                     # then ./warren.ps1 in the profile`

// bashWords stands for what the package bash-completion brings, where it is not
// loaded.
const bashWords = `declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
  cur="${COMP_WORDS[COMP_CWORD]}"
}

`

// showCompletion completes the library's command to one of the tool's.
func showCompletion(cmd *cli.Command) {
	cmd.Hidden = false
	cmd.Usage = "print a script for the completion of commands and flags"
	cmd.ArgsUsage = "bash|zsh|fish|pwsh"
	cmd.Description = completionDescription
	cmd.HideHelpCommand = true
	cmd.OnUsageError = onUsageError
	cmd.Action = func(_ context.Context, cmd *cli.Command) error {
		if shell := cmd.Args().First(); shell != "" {
			return usageError(cmd, "there is no script for %.60q; bash, zsh, fish and pwsh have one", shell)
		}
		return usageError(cmd, "a shell is missing: bash, zsh, fish or pwsh")
	}
	for _, shell := range cmd.Commands {
		shell.Description = fmt.Sprintf("Examples:\n   warren completion %s", shell.Name)
		polish(shell)
		script := shell.Action
		shell.Action = func(ctx context.Context, cmd *cli.Command) error {
			if _, err := arguments(cmd, 0, 0); err != nil {
				return err
			}
			if cmd.Name == "bash" {
				if _, err := fmt.Fprint(cmd.Root().Writer, bashWords); err != nil {
					return written(err)
				}
			}
			return written(script(ctx, cmd))
		}
	}
}
