package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// completionTimeout is how long a shell waits for names from the API. Without an answer it
// completes nothing.
const completionTimeout = time.Second

// The statuses of workloads, for completion.
var (
	running     = []niyanta.Status{"SCHEDULED", "RUNNING"}
	unfinished  = []niyanta.Status{"PENDING", "SCHEDULED", "RUNNING", "PAUSED", "REDISTRIBUTING"}
	statusNames = []string{
		"PENDING", "SCHEDULED", "RUNNING", "PAUSED", "REDISTRIBUTING", "COMPLETED", "FAILED", "CANCELLED",
	}
)

// complete is the function that cobra calls to complete an argument or a flag.
type complete = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// oneOf completes fixed words.
func oneOf(words ...string) complete {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// completeFlag sets how the value of a flag is completed.
func completeFlag(cmd *cobra.Command, flag string, f complete) {
	_ = cmd.RegisterFlagCompletionFunc(flag, f) // the flag exists
}

// names reads names from the API. args are the arguments before the one that is completed.
type names = func(ctx context.Context, cl *niyanta.Client, args []string) ([]string, error)

// live completes the argument at a position with names from the API.
func (c *cli) live(position int, ask names) complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) != position {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		cl, err := c.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		found, err := ask(ctx, cl, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// described is a completion with the text that shells show beside it.
func described(name, about string) string { return cobra.CompletionWithDesc(name, printable(about)) }

// newest returns the newest workloads: the customer's, or, with an admin key, of all customers.
func newest(ctx context.Context, cl *niyanta.Client, p niyanta.ListParams) (niyanta.WorkloadList, error) {
	page, err := cl.List(ctx, p)
	if errors.Is(err, niyanta.ErrForbidden) {
		return cl.ListAll(ctx, "", p)
	}
	return page, err
}

// completeWorkload completes the ids of the newest workloads in the given statuses, or in any.
func (c *cli) completeWorkload(statuses ...niyanta.Status) complete {
	return c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) ([]string, error) {
		limit := 100
		p := niyanta.ListParams{Limit: &limit}
		if len(statuses) > 0 {
			p.Status = &statuses
		}
		page, err := newest(ctx, cl, p)
		var names []string
		for _, w := range page.Workloads {
			names = append(names, described(w.WorkloadID, w.WorkloadType+" "+string(w.Status)))
		}
		return names, err
	})
}

// completeWorkloads completes any number of ids.
func (c *cli) completeWorkloads(statuses ...niyanta.Status) complete {
	one := c.completeWorkload(statuses...)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		found, directive := one(cmd, nil, toComplete)
		return slices.DeleteFunc(found, func(name string) bool {
			id, _, _ := strings.Cut(name, "\t")
			return slices.Contains(args, id)
		}), directive
	}
}

// completeTypeFlag completes the value of a flag as completeType completes an argument.
func (c *cli) completeTypeFlag(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	return c.completeType(cmd, nil, text)
}

// completeType completes workload types: those of the newest workloads, of the configs, and, with
// an admin key, of the workers.
func (c *cli) completeType(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) ([]string, error) {
		limit := 100
		var types []string
		page, err := newest(ctx, cl, niyanta.ListParams{Limit: &limit})
		for _, w := range page.Workloads {
			types = append(types, w.WorkloadType)
		}
		if configs, err := niyanta.Collect(cl.Configs(ctx)); err == nil {
			for _, x := range configs {
				types = append(types, x.WorkloadType)
			}
		}
		if workers, werr := niyanta.Collect(cl.Workers(ctx)); werr == nil {
			err = nil
			for _, w := range workers {
				types = append(types, w.Capabilities...)
			}
		}
		slices.Sort(types)
		return slices.Compact(types), err
	})(cmd, args, toComplete)
}

func (c *cli) completeWorker() complete {
	return c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) ([]string, error) {
		workers, err := niyanta.Collect(cl.Workers(ctx))
		var names []string
		for _, w := range workers {
			names = append(names, described(w.WorkerID, string(w.Status)))
		}
		return names, err
	})
}

// completeCustomerFlag completes the value of a flag as completeCustomer completes an argument.
func (c *cli) completeCustomerFlag(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
	return c.completeCustomer()(cmd, nil, text)
}

func (c *cli) completeCustomer() complete {
	return c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) ([]string, error) {
		customers, err := niyanta.Collect(cl.Customers(ctx))
		var names []string
		for _, x := range customers {
			names = append(names, described(x.CustomerID, x.Name))
		}
		return names, err
	})
}

func (c *cli) completeConfig() complete {
	return c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) ([]string, error) {
		configs, err := niyanta.Collect(cl.Configs(ctx))
		var names []string
		for _, x := range configs {
			names = append(names, described(x.ConfigID, x.WorkloadType))
		}
		return names, err
	})
}

// completeKey completes a customer or an operator's key, and then a key of that customer that is
// not revoked.
func (c *cli) completeKey(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		customers, directive := c.completeCustomer()(cmd, args, toComplete)
		keys, _ := c.live(0, func(ctx context.Context, cl *niyanta.Client, _ []string) (names []string, err error) {
			for k, err := range cl.OperatorKeys(ctx) {
				if err == nil && k.RevokedAt == nil {
					names = append(names, described(k.KeyID, string(k.Role)+" "+k.Name))
				}
			}
			return names, err
		})(cmd, args, toComplete)
		return append(customers, keys...), directive
	}
	return c.live(1, func(ctx context.Context, cl *niyanta.Client, args []string) ([]string, error) {
		keys, err := niyanta.Collect(cl.Keys(ctx, args[0]))
		var names []string
		for _, k := range keys {
			if k.RevokedAt == nil {
				names = append(names, described(k.KeyID, string(k.Role)))
			}
		}
		return names, err
	})(cmd, args, toComplete)
}
