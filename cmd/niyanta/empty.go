package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// mayBeEmpty are the flags for which an empty value means the beginning of a list, so that a loop
// can begin with it.
var mayBeEmpty = map[string]bool{"after": true, "cursor": true}

// refuseEmpty refuses arguments and values of flags that are given and empty. A script whose variable
// is not set would otherwise do more than it was meant to: `--type "$TYPE"` would select all types,
// `--context "$WHERE"` act on another deployment, `--worker-ids "$IDS"` make a key for each worker.
func refuseEmpty(cmd *cobra.Command, args []string) error {
	if cmd.Name() == cobra.ShellCompRequestCmd {
		return nil // it completes the last argument, which may be empty
	}
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		args = args[:dash] // what follows belongs to a program
	}
	for i, a := range args {
		if a == "" {
			return fmt.Errorf("argument %d must not be empty", i+1)
		}
	}
	var failures []error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			if values = v.GetSlice(); len(values) == 0 {
				values = []string{""}
			}
		default:
			if v.Type() != "string" {
				return
			}
		}
		for _, v := range values {
			if v == "" && !mayBeEmpty[f.Name] {
				failures = append(failures, fmt.Errorf("--%s must not be empty", f.Name))
				return
			}
		}
	})
	return errors.Join(failures...)
}
