package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// keptFor is how long keys that have no end are used after they were last found.
	keptFor = 15 * time.Minute
	// keptPause is how long valid keys are used, after no new ones were found, before they are looked
	// for again, and failPause the same where there are none. All requests wait for the search.
	keptPause, failPause = 15 * time.Second, 3 * time.Second
	// keptSearch bounds a search while there are valid keys.
	keptSearch = 3 * time.Second
	// roleTimeout bounds a request for the keys of a role.
	roleTimeout = 10 * time.Second
)

// place is one in which keys may be found.
type place struct {
	name string
	credentials.Provider
}

// keys are those that requests are signed with. They are looked for in several places, in order. When
// none are found, the last ones are used for as long as they are valid. A request is never sent
// unsigned: the storage would answer AccessDenied, as if a right or a customer's key were missing.
// credentials.Credentials serializes the calls.
type keys struct {
	places []place
	now    func() time.Time

	last    credentials.Value
	from    credentials.Provider // nil: none were found yet
	until   time.Time            // last are valid so long
	failure error                // of the last search; nil: it found keys
	again   time.Time            // after a failure, the next search is not before
}

// newKeys looks where AWS's own tools look.
func newKeys(transport http.RoundTripper) *credentials.Credentials {
	return credentials.New(&keys{now: time.Now, places: []place{
		{"the environment", &credentials.EnvAWS{}},
		{"the file of credentials", &credentials.FileAWSCredentials{}},
		{"the role", &credentials.IAM{Client: &http.Client{Transport: transport, Timeout: roleTimeout}}},
	}})
}

// IsExpired implements credentials.Provider.
func (k *keys) IsExpired() bool {
	if k.from == nil || !k.now().Before(k.until) {
		return true
	}
	if k.failure != nil {
		return !k.now().Before(k.again)
	}
	return k.from.IsExpired()
}

// Retrieve implements credentials.Provider.
func (k *keys) Retrieve() (credentials.Value, error) {
	return k.RetrieveWithCredContext(&credentials.CredContext{Client: http.DefaultClient})
}

// RetrieveWithCredContext implements credentials.Provider.
func (k *keys) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	valid := k.from != nil && k.now().Before(k.until)
	if k.failure != nil && k.now().Before(k.again) {
		if valid {
			return k.last, nil
		}
		return credentials.Value{}, k.failure
	}
	found, from, err := k.search(cc, valid)
	switch {
	case err == nil:
		k.last, k.from, k.failure = found, from, nil
		if k.until = found.Expiration; k.until.IsZero() {
			k.until = k.now().Add(keptFor)
		}
		return found, nil
	case cc.Context != nil && cc.Context.Err() != nil: // says nothing about the places
	case valid:
		k.failure, k.again = err, k.now().Add(keptPause)
	default:
		k.failure, k.again = err, k.now().Add(failPause)
	}
	if valid {
		return k.last, nil
	}
	return credentials.Value{}, err
}

// search returns the keys of the first place that has some. While there are valid keys, it does not
// look behind their place: other keys may have other rights.
func (k *keys) search(cc *credentials.CredContext, valid bool) (credentials.Value, credentials.Provider, error) {
	if valid {
		parent := cc.Context
		if parent == nil {
			parent = context.Background()
		}
		bounded, cancel := context.WithTimeout(parent, keptSearch)
		defer cancel()
		cc = &credentials.CredContext{Client: cc.Client, Endpoint: cc.Endpoint, Context: bounded}
	}
	var failed []string
	for _, p := range k.places {
		v, err := p.RetrieveWithCredContext(cc)
		switch {
		case err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "":
			return v, p.Provider, nil
		case err == nil:
			err = errors.New("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing")
		}
		failed = append(failed, p.name+": "+err.Error())
		if valid && p.Provider == k.from {
			break
		}
	}
	return credentials.Value{}, nil, fmt.Errorf("no credentials (%s)", strings.Join(failed, "; "))
}
