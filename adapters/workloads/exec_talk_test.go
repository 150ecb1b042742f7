package workloads

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slow is a connection whose writes end at their deadline at once, if they have one.
type slow struct{ net.Conn }

func (c slow) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return c.Conn.SetWriteDeadline(at)
	}
	return c.Conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
}

func TestConversation_WithAProgramThatReadsLate_LosesNoPartOfALine(t *testing.T) {
	large := task(`{}`)
	large.Checkpoint = []byte(`"` + strings.Repeat("x", 4<<20) + `"`)
	p := &recorder{}
	c, file, err := newConversation(large, p)
	require.NoError(t, err)
	c.conn = slow{c.conn}
	theirs, err := net.FileConn(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	c.start()
	// It says more than is answered before it reads: nobody waits for it.
	for n := range 2000 {
		_, err = fmt.Fprintf(theirs, "{\"type\":\"checkpoint\",\"data\":%d}\n", n)
		require.NoError(t, err)
	}
	_, err = fmt.Fprintln(theirs, `{"type":"result","value":7}`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return string(c.value()) == "7" }, 20*time.Second, time.Millisecond)
	assert.Len(t, p.checkpoints, 2000)
	lines := bufio.NewReaderSize(theirs, 5<<20)
	line, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	var start said
	require.NoError(t, json.Unmarshal(line, &start))
	assert.Equal(t, string(large.Checkpoint), string(start.Checkpoint))
	for range unread - 1 {
		line, err = lines.ReadBytes('\n')
		require.NoError(t, err)
		require.JSONEq(t, `{"type":"checkpoint_saved"}`, string(line))
	}
	require.NoError(t, theirs.Close())
	c.finish(pipeGrace)
	c.close()
}

func TestConversation_WithAProgramThatNeverReads_EndsWithItsRun(t *testing.T) {
	tk := shell(t, `sleep 0.1; echo '{"type":"result","value":7}' >&3`)
	tk.Checkpoint = []byte(`"` + strings.Repeat("x", 4<<20) + `"`)
	out, err := run(t.Context(), &program{host: testHost(t, Options{ExecAllow: []string{"sh"}})}, tk, &recorder{})
	require.NoError(t, err)
	assert.Contains(t, string(out), `"value":7`)
}
