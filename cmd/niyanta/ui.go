package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func uiCommand(c *cli) *cobra.Command {
	return c.flags(&cobra.Command{
		Use:   "ui",
		Short: "Print a link that signs a browser in to the console, once, within a minute",
		Long: `Print a link that signs a browser in to the console, once, within a minute. The session has the
rights of the key that the command uses. With several coordinators the link leads to the first one.`,
		Example: `  niyanta ui
  xdg-open "$(niyanta ui)"`,
		Args: cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			link, err := makeConsoleLink(cmd.Context(), cl, c.address())
			if err != nil {
				return err
			}
			if c.output != formatTable {
				return printJSON(cmd.OutOrStdout(), link, c.output == formatJSON)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), link.URL)
			return err
		}),
	})
}

// consoleLink is the address of the console with a code that signs in there.
type consoleLink struct {
	niyanta.SignInLink

	URL string `json:"url"`
}

// makeConsoleLink makes a link that signs a browser in with the key of the client. The code is in the
// fragment of the address, which browsers send to no server. urls are those of the coordinators.
func makeConsoleLink(ctx context.Context, cl *niyanta.Client, urls string) (consoleLink, error) {
	link, err := cl.CreateSignInLink(ctx)
	if err != nil {
		return consoleLink{}, err
	}
	first, _, _ := strings.Cut(urls, ",")
	return consoleLink{link, strings.TrimRight(strings.TrimSpace(first), "/") + "/#code=" + link.Code}, nil
}
