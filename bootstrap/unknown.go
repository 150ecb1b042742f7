package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// elsewhere lists variables with the prefix that are not settings of a server, each with its
// meaning.
var elsewhere = []struct{ name, what string }{
	{"NIYANTA_URL", "Where client commands find the API, http://127.0.0.1:8080 if it is not set."},
	{"NIYANTA_API_KEY", "The key that client commands send."},
	{"NIYANTA_API_KEY_FILE", "The path of a file with that key."},
	{"NIYANTA_CA_FILE", "The path of a file with the certificates that client commands check coordinators against."},
	{"NIYANTA_CERT_FILE", "The path of a file with the client certificate that client commands show."},
	{"NIYANTA_KEY_FILE", "The path of a file with the key of that certificate."},
	{"NIYANTA_HANDOVER_FD", "Hands the environment over when a server starts itself again. Not for you."},
}

// ofElsewhere reports whether a variable is in elsewhere.
func ofElsewhere(name string) bool {
	for _, v := range elsewhere {
		if v.name == name {
			return true
		}
	}
	return false
}

// forTests is the prefix of variables that only tests read.
const forTests = Prefix + "TEST_"

// ofServices matches the variables that Kubernetes sets in every pod for a service, for example one
// named niyanta.
var ofServices = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|` +
	`_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$`)

// checkNames returns an error for the variables with the prefix that nothing reads. It names the
// nearest known variable. Otherwise a mistyped name would silently leave its setting at the
// default.
func checkNames(vars map[string]string) error {
	known := settingNames()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		switch {
		case !strings.HasPrefix(name, Prefix), strings.HasPrefix(name, forTests), slices.Contains(known, name),
			ofElsewhere(name), ofServices.MatchString(name),
			strings.HasSuffix(name, "_PORT") && strings.Contains(vars[name], "://"): // a service's, too
			continue
		}
		errs = append(errs, fmt.Errorf("%s: no such setting; did you mean %s?", name, nearest(name, known)))
	}
	return errors.Join(errs...)
}

// settingNames lists the variables of Config, and for each secret the one that names its file.
func settingNames() []string {
	t := reflect.TypeFor[Config]()
	var names []string
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		if tag.Get("env") == "" {
			continue // set by the command line
		}
		names = append(names, Prefix+tag.Get("env"))
		if tag.Get("secret") != "" {
			names = append(names, Prefix+tag.Get("env")+fileSuffix)
		}
	}
	return names
}

// nearest returns the known name with the smallest distance.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance returns the number of insertions, deletions, replacements and swaps of neighbours that
// turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
