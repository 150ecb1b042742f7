package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/niyanta/niyanta/bootstrap"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// defaultURL is the address of "niyanta dev".
const defaultURL = "http://127.0.0.1:8080"

// target is the address and the key that a client command uses. The sources say where both were
// found.
type target struct {
	url, key             string
	urlSource, keySource string
	tls                  niyanta.TLSFiles
	// note says why a key was found but is not used. Otherwise it is empty.
	note string
}

// setInEnvironment returns the variable that takes precedence over the current context, or "".
func setInEnvironment() string {
	for _, name := range []string{"NIYANTA_URL", "NIYANTA_API_KEY", "NIYANTA_API_KEY_FILE"} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// target finds the address, the key and the certificates of requests. Flags take precedence, then the context that
// --context names, then the environment, then the current context. The key of a context is only sent
// to the address of that context, and so are its certificates.
func (c *cli) target() (target, error) {
	var t target
	saved, source, err := c.savedContext()
	if err != nil {
		return t, err
	}
	envURL, envKey := "", ""
	if source == "" {
		envURL = os.Getenv("NIYANTA_URL")
		if envKey, err = bootstrap.SecretFromEnv("NIYANTA_API_KEY"); err != nil {
			return t, usage(err)
		}
	}
	first := func(choices ...[2]string) (value, from string) {
		for _, choice := range choices {
			if choice[0] != "" {
				return choice[0], choice[1]
			}
		}
		return "", ""
	}
	t.url, t.urlSource = first([2]string{c.url, "--url"}, [2]string{saved.URL, source},
		[2]string{envURL, "NIYANTA_URL"}, [2]string{defaultURL, "the default"})
	savedTLS := niyanta.TLSFiles{CA: saved.CAFile, Cert: saved.CertFile, Key: saved.KeyFile}
	if source == "" {
		savedTLS = niyanta.TLSFiles{CA: os.Getenv("NIYANTA_CA_FILE"), Cert: os.Getenv("NIYANTA_CERT_FILE"),
			Key: os.Getenv("NIYANTA_KEY_FILE")}
	}
	if saved.URL != "" && t.url != saved.URL {
		saved.APIKey, savedTLS = "", niyanta.TLSFiles{}
		t.note = fmt.Sprintf("the key of %s is for %s", source, saved.URL)
	}
	t.key, t.keySource = first([2]string{c.key, "--api-key"}, [2]string{saved.APIKey, source},
		[2]string{envKey, cmp.Or(keyVariable(), "NIYANTA_API_KEY")})
	t.tls = niyanta.TLSFiles{
		CA: cmp.Or(c.tls.CA, savedTLS.CA), Cert: cmp.Or(c.tls.Cert, savedTLS.Cert), Key: cmp.Or(c.tls.Key, savedTLS.Key),
	}
	return t, nil
}

// client returns a client of the coordinators at the address.
func (t target) client(opts ...niyanta.ClientOption) (*niyanta.Client, error) {
	return niyanta.NewClient(t.url, t.key, append(opts, niyanta.WithTLSFiles(t.tls))...)
}

// savedContext returns the context in use and its name. The name is empty if no context is in use.
func (c *cli) savedContext() (saved savedContext, name string, err error) {
	if c.context == "" && setInEnvironment() != "" {
		return savedContext{}, "", nil
	}
	s, err := openContexts(os.Getenv)
	if err != nil {
		return savedContext{}, "", err
	}
	if name = cmp.Or(c.context, s.Current); name == "" {
		return savedContext{}, "", nil
	}
	saved, err = s.get(name)
	return saved, "context " + name, err
}

// keyVariable returns the variable that holds or names the key.
func keyVariable() string {
	if os.Getenv("NIYANTA_API_KEY_FILE") != "" {
		return "NIYANTA_API_KEY_FILE"
	}
	return "NIYANTA_API_KEY"
}

// errNoKey returns the error for a missing key, which says what to do.
func (t target) errNoKey() error {
	hint := "niyanta context add keeps one, --api-key or NIYANTA_API_KEY say one; niyanta dev prints one"
	if t.note != "" {
		hint = t.note + "; say --api-key too"
	}
	return usage(errors.New("no API key: " + hint))
}
