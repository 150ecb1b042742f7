package preemption

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// interval is the time between two looks.
const interval = time.Second

// Notice is a place where notices appear. Safe for concurrent use.
type Notice struct {
	// present reports whether there is a notice now. An error is no notice.
	present func(ctx context.Context) (bool, error)
	// wait waits for one; nil: present is asked again and again.
	wait func(ctx context.Context) error
}

// Parse returns the place that a setting names:
//
//   - file:/path, a file that appears;
//   - an http URL, which answers 200 with a text other than FALSE or NONE. The services of EC2, which
//     wants a token, and of Google, which wants a header, are understood;
//   - signal:USR1 or signal:USR2, a signal to the process. It cannot be seen again after a restart.
func Parse(setting string) (*Notice, error) {
	kind, what, _ := strings.Cut(setting, ":")
	switch kind {
	case "file":
		if !filepath.IsAbs(what) {
			return nil, fmt.Errorf("must name an absolute path, as file:/run/preempted, not %q", setting)
		}
		return &Notice{present: func(context.Context) (bool, error) { return exists(what) }}, nil
	case "http":
		u, err := url.Parse(setting)
		if err != nil || u.Host == "" {
			return nil, errors.New("must be a URL such as http://169.254.169.254/latest/meta-data/spot/instance-action")
		}
		m := &metadata{url: setting, token: u.Scheme + "://" + u.Host + "/latest/api/token", client: &http.Client{
			Timeout: 2 * time.Second, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true},
		}}
		return &Notice{present: m.present}, nil
	case "signal":
		return onSignal(what)
	}
	return nil, fmt.Errorf("must look like file:/path, http://host/path or signal:USR1, not %q", setting)
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Present reports whether there is a notice now.
func (n *Notice) Present(ctx context.Context) (bool, error) { return n.present(ctx) }

// Wait waits for a notice, or for the end of ctx, whose error it returns. failed hears of each look
// that failed.
func (n *Notice) Wait(ctx context.Context, failed func(error)) error {
	if n.wait != nil {
		return n.wait(ctx)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		there, err := n.present(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case there:
			return nil
		case err != nil:
			failed(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// metadata is a metadata service.
type metadata struct {
	url, token string
	client     *http.Client
}

// noticeLimit bounds what is read of an answer, in bytes.
const noticeLimit = 4096

func (m *metadata) present(ctx context.Context) (bool, error) {
	status, text, err := m.get(ctx, http.MethodGet, m.url, http.Header{"Metadata-Flavor": {"Google"}})
	if err == nil && status == http.StatusUnauthorized {
		var token string
		status, token, err = m.get(ctx, http.MethodPut, m.token,
			http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"60"}})
		if err == nil && status == http.StatusOK {
			status, text, err = m.get(ctx, http.MethodGet, m.url, http.Header{"X-Aws-Ec2-Metadata-Token": {token}})
		}
	}
	switch {
	case err != nil:
		return false, err
	case status == http.StatusNotFound:
		return false, nil
	case status != http.StatusOK:
		return false, fmt.Errorf("%s answered %d", m.url, status)
	}
	text = strings.ToUpper(strings.TrimSpace(text))
	return text != "" && text != "FALSE" && text != "NONE", nil
}

func (m *metadata) get(ctx context.Context, method, target string, header http.Header) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header = header
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, noticeLimit))
	return resp.StatusCode, string(text), err
}
