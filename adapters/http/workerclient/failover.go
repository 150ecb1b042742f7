package workerclient

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// coordinators are where the coordinators answer. All requests of a worker go to one of them until it does not answer; then to the next.
type coordinators struct {
	urls    []*url.URL
	current atomic.Int64
}

// parse reads one address or several, separated by commas.
func parse(list string) (*coordinators, error) {
	c := &coordinators{}
	for base := range strings.SplitSeq(list, ",") {
		base = strings.TrimRight(strings.TrimSpace(base), "/")
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("a coordinator's url must look like http://host:port")
		}
		c.urls = append(c.urls, u)
	}
	return c, nil
}

// failover sends requests, addressed to the first coordinator, to the one that answers. Every request of the worker protocol may be
// repeated, so one that was not answered goes to the next at once; one whose time is over leaves it to its repetition.
type failover struct {
	*coordinators
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f *failover) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	for try := range f.urls {
		at := f.current.Load()
		r := req.Clone(req.Context())
		f.address(r, f.urls[at%int64(len(f.urls))])
		if try > 0 && req.Body != nil {
			if req.GetBody == nil {
				return nil, err
			}
			if r.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
		if resp, err = f.next.RoundTrip(r); err == nil {
			return resp, nil
		}
		f.current.CompareAndSwap(at, at+1)
		if req.Context().Err() != nil {
			break
		}
	}
	return nil, err
}

// address sends the request to another coordinator than the first, which it was made for.
func (f *failover) address(r *http.Request, to *url.URL) {
	first := f.urls[0]
	r.URL.Scheme, r.URL.Host, r.Host = to.Scheme, to.Host, to.Host
	r.URL.Path = to.Path + strings.TrimPrefix(r.URL.Path, first.Path)
	r.URL.RawPath = ""
}
