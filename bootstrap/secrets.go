package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// fileSuffix is appended to the variable of a secret to name the variable for its file.
const fileSuffix = "_FILE"

// secretFileLimit is the largest size of a file with a secret, in bytes.
const secretFileLimit = 64 << 10

// readSecretFiles sets each secret whose variable with the suffix _FILE is set to the content of
// that file. A list may have several lines. It returns the secrets whose files cannot be read, and
// an error with all mistakes, which never contains the content of a file.
func readSecretFiles(vars map[string]string) (missing []string, err error) {
	var errs []error
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("secret") == "" {
			continue
		}
		name := Prefix + f.Tag.Get("env")
		path := vars[name+fileSuffix]
		if path == "" {
			continue
		}
		if vars[name] != "" {
			errs = append(errs, fmt.Errorf("%s%s: %s is set too; which one holds?", name, fileSuffix, name))
			continue
		}
		value, err := readSecret(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s%s: %w", name, fileSuffix, err))
			missing = append(missing, f.Tag.Get("env"))
			continue
		}
		if f.Type.Kind() == reflect.Slice {
			value = strings.Join(strings.Fields(value), ",")
		}
		vars[name] = value
	}
	return missing, errors.Join(errs...)
}

// SecretFromEnv returns the value of the variable, or the content of the file that the variable
// with the suffix _FILE names. It returns "" if neither is set.
func SecretFromEnv(name string) (string, error) {
	value, path := os.Getenv(name), os.Getenv(name+fileSuffix)
	switch {
	case path == "":
		return value, nil
	case value != "":
		return "", fmt.Errorf("%s%s: %s is set too; which one holds?", name, fileSuffix, name)
	}
	value, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w", name, fileSuffix, err)
	}
	return value, nil
}

func readSecret(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, secretFileLimit+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > secretFileLimit:
		return "", fmt.Errorf("%s is larger than %d bytes", path, secretFileLimit)
	}
	value := strings.TrimSpace(string(b))
	if value == "" {
		return "", fmt.Errorf("%s holds nothing", path)
	}
	return value, nil
}

// The minimum requirements for a secret that an operator chooses.
const (
	minSecret  = 32 // characters
	minVariety = 8  // different ones; of 32 random hexadecimal digits, one key in 20 million has fewer
)

// weakness returns the reason why a secret could be guessed, or "".
func weakness(secret string) string {
	if len(secret) < minSecret {
		return fmt.Sprintf("must have at least %d characters", minSecret)
	}
	different := map[rune]bool{}
	for _, r := range secret {
		different[r] = true
	}
	if len(different) < minVariety {
		return fmt.Sprintf("must have at least %d different characters: "+
			"make it at random, for example with openssl rand -hex 32", minVariety)
	}
	for n := 1; n <= len(secret)/2; n++ {
		if repeats(secret, n) {
			return "must not repeat itself: make it at random, for example with openssl rand -hex 32"
		}
	}
	return ""
}

// repeats reports whether s repeats a block of n bytes. The last block may be cut off.
func repeats(s string, n int) bool { return s[n:] == s[:len(s)-n] }

// validateKeys checks the keys that are set. The validation of a role checks which must be set.
func (c Config) validateKeys(wrong func(string, string, ...any)) {
	if c.AdminKey != "" {
		if why := weakness(c.AdminKey); why != "" {
			wrong("ADMIN_KEY", "%s", why)
		}
	}
	for _, key := range c.WorkerKeys {
		if why := weakness(key); why != "" {
			wrong("WORKER_KEY", "%s, each of them", why)
			break
		}
	}
	if domain.LooksLikeToken(c.AdminKey) {
		wrong("ADMIN_KEY", "must not have the form of a JSON web token: those are not looked up as keys")
	}
	if slices.ContainsFunc(c.WorkerKeys, domain.LooksLikeToken) {
		wrong("WORKER_KEY", "must not have the form of a JSON web token: those are not looked up as keys")
	}
	if slices.Contains(c.WorkerKeys, c.AdminKey) && c.AdminKey != "" {
		wrong("WORKER_KEY", "must not be the admin key: every worker would be an administrator")
	}
}
