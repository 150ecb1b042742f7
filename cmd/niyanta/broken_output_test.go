package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fullDisk is where nothing can be written.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestOutput_WhenItCannotBeWritten_IsAnErrorInEveryFormat(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := `{"workload_id":"wl_1","status":"RUNNING","customer_id":"cust_a","pagination":{},` +
			`"key_id":"key_1","key":"secret","url":"/","code":"c","pools":{"p":{}},"results":[{"workload_id":"wl"}],` +
			`"logs":[{"seq":1,"message":"m"}],"workloads":[{}],"customers":[{}],"events":[{}],"workers":[{}],"keys":[{}]}`
		if strings.HasSuffix(r.URL.Path, "/logs") && r.URL.Query().Has("after") {
			body = `{}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	commands := map[string]string{ // and the formats that each has beside the table
		"key create cust_a": "json jsonl", "key create --role admin --name A": "json jsonl", "key list cust_a": "json jsonl",
		"ui": "json jsonl", "workload list": "json jsonl", "workload get wl_1": "json jsonl",
		"workload explain wl_1": "json jsonl", "workload pause wl_1": "json jsonl", "workload audit wl_1": "json jsonl",
		"workload logs wl_1": "json jsonl", "stats": "json jsonl",
		"stats queue": "json jsonl", "scaling": "json jsonl", "doctor": "json jsonl", "customer list": "json jsonl",
		"customer get cust_a": "json jsonl", "worker list": "json jsonl", "batch": "none",
	}
	for command, formats := range commands {
		for _, format := range append(strings.Fields(formats), "") {
			if format == "none" {
				continue
			}
			args := append(strings.Fields(command), "--url", server.URL, "--api-key", "k")
			if format != "" {
				args = append(args, "-o", format)
			}
			var errs bytes.Buffer
			code := run(args, strings.NewReader(`{"workload_type":"a","input_params":{}}`+"\n"), fullDisk{}, &errs)
			assert.Equal(t, exitError, code, "%v", args)
			assert.Contains(t, errs.String(), syscall.ENOSPC.Error(), "%v", args)
			if strings.HasPrefix(command, "key create") {
				assert.Contains(t, errs.String(), "key_1", "who can't use it must be able to revoke it: %v", args)
			}
		}
	}
}

func TestOutput_OnAFullDisk_ExitsWithAnError(t *testing.T) {
	path, err := binary()
	require.NoError(t, err)
	for _, format := range formats {
		out, err := exec.Command("sh", "-c", `"$0" config -o "$1" >/dev/full`, path, format).CombinedOutput()
		var e *exec.ExitError
		require.ErrorAs(t, err, &e, "%s: %s", format, out)
		assert.Equal(t, exitError, e.ExitCode())
		assert.Contains(t, string(out), syscall.ENOSPC.Error())
	}
}
