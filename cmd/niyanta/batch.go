package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

const (
	// batchItems and batchBytes are the limits of one request. The API takes 16 MiB, but answers
	// smaller requests sooner.
	batchItems = 1000
	batchBytes = 4 << 20
	// batchLine is the length of the longest line, in bytes.
	batchLine = 2 << 20
	// batchIdle is how long batch waits for a next line before it submits the lines that it has.
	batchIdle = 500 * time.Millisecond
	// batchGrace is how long batch goes on after it was interrupted, to submit what it has read.
	batchGrace = 10 * time.Second
	// batchRetryFor is the default of --retry-for.
	batchRetryFor = 5 * time.Minute
)

func batchCommand(c *cli) *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "batch [FILE]",
		Short: "Submit a workload for each line of JSON",
		Long: `Submit a workload for each line of JSON of a file, or of standard input: workload_type,
input_params, and what else a submission has (priority, labels, run_at and so on), optionally with
an idempotency_key. Prints a line of JSON for each: its number, and workload_id and status, or the
error. A line that is refused does not stop the others. Where the queue is full, batch waits for
room; it gives up when nothing was accepted for --retry-for (5m unless given).
Interrupted, it submits the lines that it has read, for up to 10 seconds, and says after which one
it ended. Exits with 1 if a line was refused. With --key-prefix, running it again with the same file
submits nothing twice, for 24 h: each line's key is the prefix and its number.`,
		Example: `  niyanta batch jobs.jsonl >results.jsonl
  jq -c '{workload_type: "resize", input_params: .}' <images.jsonl | niyanta batch --key-prefix nightly-2026-03-01`,
		Args: cobra.MaximumNArgs(1),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return usage(err)
				}
				defer func() { _ = f.Close() }() // it was only read
				in = f
			}
			retryFor := c.retryFor
			if !cmd.Flags().Changed("retry-for") {
				retryFor = batchRetryFor
			}
			tell := func(format string, args ...any) { say(cmd, format, args...) }
			b := &batch{
				client: cl.With(niyanta.RetryFor(retryFor), sayConnection(tell)), say: tell,
				out: cmd.OutOrStdout(), prefix: prefix, retryFor: retryFor,
			}
			err := b.run(cmd.Context(), in)
			say(cmd, "submitted %d of %s, %d refused", b.accepted, counted(b.lines, "line"), b.refused)
			if err == nil && b.refused > 0 {
				err = &exit{code: exitError}
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&prefix, "key-prefix", "",
		"make the idempotency key of each line from this and the line's number")
	completeFlag(cmd, "key-prefix", cobra.NoFileCompletions)
	return c.connectionFlags(cmd)
}

// batchItem is a line with its result.
type batchItem struct {
	line   int
	sub    niyanta.BatchSubmission
	result *niyanta.BatchResult // nil while there is none
}

// batchResult is the output for a line.
type batchResult struct {
	Line int `json:"line"`
	niyanta.BatchResult
}

// batch submits lines.
type batch struct {
	client   *niyanta.Client
	out      io.Writer
	prefix   string
	retryFor time.Duration
	say      func(format string, args ...any)

	line                     int // the number of the last line that was read
	lines, accepted, refused int // counts of lines that are not empty
}

// readLine is a line of the input, or the error that ended the input.
type readLine struct {
	text []byte
	long bool // longer than batchLine
	err  error
}

// readLines reads lines until the input ends. A line that the input breaks off is none: it may be a
// part of one.
func readLines(ctx context.Context, in io.Reader) <-chan readLine {
	lines := make(chan readLine, batchItems)
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(in, 64<<10)
		send := func(l readLine) bool {
			select {
			case lines <- l:
				return l.err == nil
			case <-ctx.Done():
				return false
			}
		}
		for {
			l, err := nextLine(r)
			if some := len(l.text) > 0 || l.long; err == nil || errors.Is(err, io.EOF) && some {
				if !send(l) {
					return
				}
			}
			if err != nil {
				send(readLine{err: err})
				return
			}
		}
	}()
	return lines
}

// nextLine reads up to the end of a line. An error comes with what was read before it.
func nextLine(r *bufio.Reader) (l readLine, err error) {
	for {
		part, err := r.ReadSlice('\n')
		part = bytes.TrimSuffix(part, []byte("\n"))
		if l.long = l.long || len(l.text)+len(part) > batchLine; !l.long {
			l.text = append(l.text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}

// run submits all lines. It returns an error when it had to stop before the end. If ctx ends, the
// lines that were read are submitted.
func (b *batch) run(ctx context.Context, in io.Reader) error {
	sending, cancel := outlive(ctx, batchGrace)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		b.say("interrupted: submitting what was read; interrupt again to end at once")
	})()
	var chunk []*batchItem
	var broken error // the error that ended the input before its end
	size := 0
	lines, idle := readLines(sending, interruptible{ctx, in}), time.NewTimer(batchIdle)
	defer idle.Stop()
	for more := true; more; {
		idle.Reset(batchIdle)
		full := false
		select {
		case l, open := <-lines:
			if more = open && l.err == nil; !more {
				if open && !errors.Is(l.err, io.EOF) {
					broken = fmt.Errorf("after line %d: %w", b.line, cmp.Or(interruption(ctx), l.err))
				}
				break
			}
			if item := b.parse(l); item != nil {
				chunk, size = append(chunk, item), size+len(l.text)
			}
			full = len(chunk) == batchItems || size >= batchBytes
		case <-idle.C:
			full = true
		}
		if len(chunk) > 0 && (full || !more) {
			if err := b.submit(ctx, sending, chunk); err != nil {
				return fmt.Errorf("stopped at line %d: %w", firstOpen(chunk), cmp.Or(interruption(ctx), err))
			}
			chunk, size = nil, 0
		}
	}
	return cmp.Or(broken, interruption(sending))
}

// firstOpen returns the number of the first line that has no result.
func firstOpen(chunk []*batchItem) int {
	for _, item := range chunk {
		if item.result == nil {
			return item.line
		}
	}
	return chunk[0].line
}

// parse decodes a line. It returns nil if the line is empty.
func (b *batch) parse(l readLine) *batchItem {
	b.line++
	if len(bytes.TrimSpace(l.text)) == 0 && !l.long {
		return nil
	}
	b.lines++
	item := &batchItem{line: b.line}
	if l.long {
		item.refuse(niyanta.CodeTooLarge, fmt.Sprintf("the line is longer than %d MiB", batchLine>>20))
		return item
	}
	d := json.NewDecoder(bytes.NewReader(l.text))
	d.DisallowUnknownFields()
	if err := d.Decode(&item.sub); err != nil {
		item.refuse(niyanta.CodeInvalidInput, strings.TrimPrefix(err.Error(), "json: "))
	} else if _, err := d.Token(); !errors.Is(err, io.EOF) {
		item.refuse(niyanta.CodeInvalidInput, "there is more on the line, after the object")
	}
	if b.prefix != "" && item.sub.IdempotencyKey == nil {
		item.sub.IdempotencyKey = new(fmt.Sprintf("%s-%d", b.prefix, item.line))
	}
	return item
}

// refuse sets an error as the result.
func (i *batchItem) refuse(code niyanta.Code, message string) {
	i.result = &niyanta.BatchResult{Error: &niyanta.ItemError{Code: code, Message: message, Details: map[string]any{}}}
}

// submit submits the lines of a chunk and prints their results, in order. If it returns an error,
// some lines have no result.
func (b *batch) submit(ctx, sending context.Context, chunk []*batchItem) error {
	err := b.settle(ctx, sending, chunk)
	for _, item := range chunk {
		if item.result == nil {
			continue
		}
		if item.result.Error != nil {
			b.refused++
		} else {
			b.accepted++
		}
		if err := printJSON(b.out, batchResult{item.line, *item.result}, false); err != nil {
			return err
		}
	}
	return err
}

// settle submits the lines of a chunk until each is accepted or refused. Lines that do not fit into
// the queue are submitted again, until no line has been accepted for b.retryFor, or until ctx ends.
// Requests last as long as sending.
func (b *batch) settle(ctx, sending context.Context, chunk []*batchItem) error {
	told := false
	for last := time.Now(); ; {
		var open []*batchItem
		for _, item := range chunk {
			if item.result == nil {
				open = append(open, item)
			}
		}
		if err := b.send(sending, open); err != nil {
			return err
		}
		var full []*batchItem
		pause := time.Duration(0)
		for _, item := range open {
			if after, wait := noRoom(item.result); wait {
				full, pause = append(full, item), max(pause, after)
			}
		}
		if len(full) < len(open) {
			last = time.Now()
		}
		if len(full) == 0 || time.Since(last)+pause > b.retryFor {
			return nil
		}
		if !told {
			b.say("the queue is full: %s of lines %d to %d wait for room", counted(len(full), "line"), chunk[0].line,
				chunk[len(chunk)-1].line)
			told = true
		}
		for _, item := range full {
			item.result = nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// noRoom reports whether a line was refused only because there is no room for it now. If so, it
// returns the time to wait before the next try.
func noRoom(r *niyanta.BatchResult) (after time.Duration, wait bool) {
	err := r.Error.Err()
	if !errors.Is(err, niyanta.ErrUnavailable) && !errors.Is(err, niyanta.ErrRateLimited) {
		return 0, false
	}
	var e *niyanta.Error
	errors.As(err, &e)
	return max(e.RetryAfter, time.Second), true
}

// send submits lines once. If the API refuses the whole request because of one line, send halves
// the request until it has found that line.
func (b *batch) send(ctx context.Context, items []*batchItem) error {
	if len(items) == 0 {
		return nil
	}
	subs := make([]niyanta.BatchSubmission, len(items))
	for i, item := range items {
		subs[i] = item.sub
	}
	results, err := b.client.SubmitBatch(ctx, subs, "")
	switch {
	case err == nil && len(results) != len(items):
		return fmt.Errorf("%d results for %d lines", len(results), len(items))
	case err == nil:
		for i := range results {
			items[i].result = &results[i]
		}
		return nil
	case !ofOneItem(err):
		return err
	case len(items) == 1:
		var e *niyanta.Error
		errors.As(err, &e)
		items[0].refuse(e.Code, e.Message)
		return nil
	}
	half := len(items) / 2
	if err := b.send(ctx, items[:half]); err != nil {
		return err
	}
	return b.send(ctx, items[half:])
}

// ofOneItem reports whether a request may have been refused because of one of its items.
func ofOneItem(err error) bool {
	return errors.Is(err, niyanta.ErrInvalidInput) || errors.Is(err, niyanta.ErrTooLarge) ||
		errors.Is(err, niyanta.ErrInternal)
}
