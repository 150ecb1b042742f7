package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestScaling_OfAFleet_ShowsEachPool(t *testing.T) {
	f := newFleet(t, `NIYANTA_POOLS=[{"name":"renderers","types":["render"]},{"name":"idle","types":["sleep"]}]`)
	_, err := f.client.Submit(t.Context(), niyanta.Submission{WorkloadType: "render", InputParams: []byte(`{}`)}, "")
	require.NoError(t, err)
	admin := shell{t, f.url, f.adminKey}
	var s niyanta.Scaling
	admin.json(&s, "scaling")
	assert.Equal(t, 1, s.Pools["renderers"].DesiredWorkers)
	out, errs, code := admin.run("", "scaling")
	require.Equal(t, exitDone, code, errs)
	assert.Regexp(t, `(?m)^idle +0 +0 +0 +0 +0 +-$`, out)
	assert.Regexp(t, `(?m)^renderers +1 +0 +0 +0 +1 +\d+s$`, out)

	worker := shell{t, f.url, f.workerKey}
	_, errs, code = worker.run("", "scaling")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "FORBIDDEN")
}
