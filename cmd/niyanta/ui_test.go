package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signInTwice follows a link to the console twice, as the console does. It returns the status and the
// role of each answer.
func signInTwice(t *testing.T, link string) []string {
	t.Helper()
	url, code, ok := strings.Cut(link, "/#code=")
	require.True(t, ok, "no link: %q", link)
	var answers []string
	for range 2 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/session", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+code)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		var session struct {
			Role string `json:"role"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&session))
		require.NoError(t, resp.Body.Close())
		answers = append(answers, fmt.Sprint(resp.StatusCode, " ", session.Role))
	}
	return answers
}

func TestUI_WithAKey_PrintsALinkThatSignsInOnceWithItsRights(t *testing.T) {
	sh, admin, _ := shells(t)
	out, errs, code := sh.run("", "ui")
	require.Equal(t, exitDone, code, errs)
	assert.Equal(t, 1, strings.Count(out, "\n"), "it prints the link alone, for xdg-open")
	assert.Equal(t, []string{"200 customer", "401 "}, signInTwice(t, strings.TrimSpace(out)))

	var link struct {
		URL       string    `json:"url"`
		Code      string    `json:"code"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	admin.json(&link, "ui")
	assert.WithinDuration(t, time.Now().Add(time.Minute), link.ExpiresAt, 20*time.Second)
	assert.True(t, strings.HasSuffix(link.URL, "/#code="+link.Code), link.URL)
	assert.Equal(t, []string{"200 admin", "401 "}, signInTwice(t, link.URL))

	several := shell{t, sh.url + "/, http://127.0.0.1:1", sh.key}
	out, errs, code = several.run("", "ui")
	require.Equal(t, exitDone, code, errs)
	assert.True(t, strings.HasPrefix(out, sh.url+"/#code="), out)

	_, errs, code = shell{t, sh.url, "nyt_cust_a_x"}.run("", "ui")
	assert.Equal(t, exitError, code)
	assert.NotContains(t, errs, "#code=")
}
